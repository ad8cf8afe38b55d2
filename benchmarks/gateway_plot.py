"""The gateway's benchmark as a picture in SVG: CPU for a webhook and p99 by concurrency, a line for each server."""

from collections.abc import Callable, Sequence
from typing import Protocol

WIDTH, HEIGHT, MARGIN = 420, 260, 50
COLOURS = {"bare": "#888888", "straightforward": "#d9822b", "benthos": "#8f5cd6", "wabus": "#137cbd"}


class Row(Protocol):
    @property
    def server(self) -> str: ...
    @property
    def connections(self) -> int: ...
    @property
    def cpu_ms(self) -> float: ...
    @property
    def p99(self) -> float: ...


def picture(rows: Sequence[Row]) -> str:
    """Two charts side by side."""
    panels = [_panel(rows, 0, "CPU for a webhook, ms", lambda row: row.cpu_ms)]
    panels.append(_panel(rows, WIDTH, "p99, ms", lambda row: row.p99))
    size = f'width="{2 * WIDTH}" height="{HEIGHT}" viewBox="0 0 {2 * WIDTH} {HEIGHT}"'
    style = 'font-family="sans-serif" font-size="11"'
    ground = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>', ground, *panels, "</svg>", ""])


def _panel(rows: Sequence[Row], left: int, title: str, value: Callable[[Row], float]) -> str:
    steps = sorted({row.connections for row in rows})
    highest = max(value(row) for row in rows)

    def point(row: Row) -> tuple[float, float]:
        across = (WIDTH - 2 * MARGIN) * steps.index(row.connections) / max(len(steps) - 1, 1)
        return left + MARGIN + across, HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * value(row) / highest

    parts = [f'<text x="{left + MARGIN}" y="20" font-weight="bold">{title}</text>']
    for step in steps:
        across = left + MARGIN + (WIDTH - 2 * MARGIN) * steps.index(step) / max(len(steps) - 1, 1)
        parts.append(f'<text x="{across}" y="{HEIGHT - 30}" text-anchor="middle">{step}</text>')
    parts.append(f'<text x="{left + WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle">connections</text>')
    for share in (0, 0.5, 1):
        up = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * share
        parts.append(f'<line x1="{left + MARGIN}" y1="{up}" x2="{left + WIDTH - MARGIN}" y2="{up}" stroke="#dddddd"/>')
        parts.append(f'<text x="{left + MARGIN - 6}" y="{up + 4}" text-anchor="end">{highest * share:.3g}</text>')
    for number, server in enumerate(dict.fromkeys(row.server for row in rows)):
        points = [point(row) for row in rows if row.server == server]
        colour = COLOURS.get(server, "black")
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        parts.append(f'<text x="{left + MARGIN + 90 * number}" y="36" fill="{colour}">{server}</text>')
    return "\n".join(parts)
