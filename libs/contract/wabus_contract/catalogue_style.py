"""How the catalogue page looks, on a desk and on a phone, by day and by night; and its search."""

STYLE = """\
:root { color-scheme: light dark; --line: light-dark(#dfe3e8, #363b42); --soft: light-dark(#f5f7f9, #1b1f24);
  --page: light-dark(#fff, #111418); --ink: light-dark(#1c2024, #e4e7eb); --dim: light-dark(#5b6570, #9aa4af);
  --link: light-dark(#0b57d0, #8ab4f8); }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { font: 16px/1.55 system-ui, sans-serif; margin: 0; background: var(--page); color: var(--ink);
  display: grid; grid-template-columns: 17rem minmax(0, 56rem); gap: 2.5rem; padding: 0 1.5rem; }
nav { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow-y: auto; padding: 1.5rem 0; }
nav a { display: block; padding: .1rem .5rem; text-decoration: none; font-size: .9rem; border-radius: .3rem; }
nav a:hover { background: var(--soft); }
nav b { display: block; margin: 1rem .5rem .2rem; font-size: .8rem; color: var(--dim); }
main { padding: 1rem 0 6rem; min-width: 0; }
a { color: var(--link); } h1 { line-height: 1.2; } h2 { margin-top: 3rem; } h3 { margin: 0; font-size: 1.2rem; }
h2 a, h3 a { color: inherit; text-decoration: none; } h2 a:hover, h3 a:hover { text-decoration: underline; }
code, pre { font-family: ui-monospace, monospace; font-size: .88em; overflow-wrap: anywhere; }
pre { background: var(--soft); padding: .8rem 1rem; border-radius: .5rem; max-height: 32rem; overflow: auto;
  font-size: .82rem; line-height: 1.45; overflow-wrap: normal; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; margin-top: .8rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 500; } td:first-child { white-space: nowrap; }
article { border: 1px solid var(--line); border-radius: .7rem; padding: 1.1rem 1.3rem; margin: 1.2rem 0; }
article:target { border-color: var(--link); }
article p { margin: .4rem 0; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .15rem 1.2rem; margin: .8rem 0; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
summary { cursor: pointer; margin-top: .8rem; }
input { font: inherit; width: 100%; padding: .5rem .7rem; color: inherit; background: var(--soft);
  border: 1px solid var(--line); border-radius: .5rem; }
[hidden] { display: none !important; }
@media (max-width: 60rem) {
  body { display: block; padding: 0 1rem; }
  nav { position: static; max-height: none; padding: 1rem 0 0; } nav div { display: none; }
  thead { display: none; } tr { display: block; padding: .4rem 0; border-bottom: 1px solid var(--line); }
  td { display: inline; border: 0; padding: 0 .5rem 0 0; } td:first-child { white-space: normal; }
  td:last-child { display: block; } td:empty { display: none; }
  article { padding: .9rem; } dl { gap: .15rem .8rem; }
}"""

SCRIPT = """\
const search = document.querySelector("input"), none = document.querySelector("#none");
search.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\\s+/);
  const fits = (element) => words.every((word) => element.textContent.toLowerCase().includes(word));
  let found = 0;
  for (const article of document.querySelectorAll("article")) {
    found += !(article.hidden = !fits(article));
    const link = document.querySelector(`nav a[href="#${article.id}"]`);
    if (link) link.hidden = article.hidden;
  }
  for (const section of document.querySelectorAll("section.topic"))
    section.hidden = !section.querySelector("article:not([hidden])");
  none.hidden = found > 0;
});
search.addEventListener("keydown", (key) => {
  const first = document.querySelector("article:not([hidden])");
  if (key.key === "Enter" && first) first.scrollIntoView();
});"""
