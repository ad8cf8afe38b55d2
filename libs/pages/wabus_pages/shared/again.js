// Loads the page once more where one of its files did not come, as when the network changes meanwhile. No module, and
// first of all: it has to be there when one of them is missed.

{
  const KEY = "wabus.again";
  const PAUSES = [500, 4_000]; // ms before each time; then a person is told
  const FORGOTTEN = 60_000; // ms after which a time counts no more
  let isComing = false;
  addEventListener("error", ({ target }) => {
    if (isComing || !(target instanceof HTMLScriptElement || target.rel === "stylesheet")) return;
    const now = Date.now();
    const times = JSON.parse(sessionStorage.getItem(KEY) ?? "[]").filter((time) => now - time < FORGOTTEN);
    if (times.length === PAUSES.length) return;
    isComing = true;
    const reload = () => {
      sessionStorage.setItem(KEY, JSON.stringify([...times, Date.now()]));
      location.reload();
    };
    setTimeout(() => (navigator.onLine ? reload() : addEventListener("online", reload)), PAUSES[times.length]);
  }, true);
}
