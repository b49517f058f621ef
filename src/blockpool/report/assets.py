"""The style sheet and the script of an exported page."""

from __future__ import annotations

__all__ = ["SCRIPT", "STYLE"]

STYLE = """
:root{color-scheme:light dark;--back:#fff;--front:#1b1d21;--quiet:#565b64;--line:#d9dce1;--raised:#f4f5f7;
--link:#0b57a4}
@media (prefers-color-scheme:dark){
:root{--back:#16181d;--front:#e6e8eb;--quiet:#a4aab4;--line:#353a43;--raised:#1f2229;
--link:#8ec5ff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1072px;padding:1rem 1.5rem 3rem;background:var(--back);color:var(--front);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;overflow-wrap:anywhere}
header,footer,.scale,caption,figcaption{color:var(--quiet)}
header p{margin:0;font-weight:600;letter-spacing:.02em}
footer{margin-top:3rem;border-top:1px solid var(--line);font-size:.9em}
a{color:var(--link)}
h1{margin:.6rem 0 0;font-size:1.7rem;line-height:1.2}
h2{margin:2.2rem 0 .5rem;font-size:1.15rem}
h1+p{margin:.3rem 0 1.2rem}
.pool+.pool{margin-top:4rem;border-top:3px solid var(--line);padding-top:1rem}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;padding:0;list-style:none}
code,pre{font:.92em/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{margin:.3rem 0;white-space:pre-wrap}
.bar{width:14rem;padding-top:.2rem}
.site{min-width:17rem}
.site p{margin:.2rem 0}
.call{padding:.7rem .9rem;background:var(--raised);border-left:4px solid var(--link)}
svg{print-color-adjust:exact;-webkit-print-color-adjust:exact}
figure{margin:.6rem 0 .3rem}
.maps input{margin:0 .35rem 0 0}
.maps label{margin-right:1.2rem}
.by-age,.age:checked~.by-holder{display:none}
.age:checked~.by-age{display:block}
.scale{margin:.2rem 0;font-size:.9em}
.under-pointer{display:block;min-height:1.5em;color:var(--front);font-variant-numeric:tabular-nums}
.legend,.names{display:flex;flex-wrap:wrap;gap:.1rem 1.3rem;margin:.5rem 0;padding:0;list-style:none;font-size:.9em}
svg[aria-hidden]{display:inline-block;vertical-align:-.05em}
svg[aria-hidden] rect[fill=none]{stroke:currentColor;stroke-width:.15;stroke-opacity:.5}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th{text-align:left;font-weight:400;color:var(--quiet);vertical-align:top}
th[scope=row]{white-space:nowrap}
th,td{padding:.18rem 1.3rem .18rem 0}
td{vertical-align:top}
.wide{overflow-x:auto;margin:.4rem 0}
.wide:focus-visible{outline:2px solid var(--link);outline-offset:2px}
.list{font-size:.93em;overflow-wrap:normal}
.heard{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.list caption{text-align:left;font-size:.95em;padding:.1rem 0 .3rem}
.list thead th{border-bottom:1px solid var(--line);white-space:nowrap}
.list tbody tr+tr td{border-top:1px solid var(--line)}
.list td{padding-top:.28rem;padding-bottom:.28rem}
.list td:nth-child(2):not(.n){overflow-wrap:anywhere}
.n{text-align:right;white-space:nowrap}
.whole{white-space:nowrap}
summary{cursor:pointer}
.findings{padding:0;list-style:none}
.findings li{margin:.5rem 0;padding:.5rem .9rem;background:var(--raised);border-left:4px solid var(--quiet)}
.findings .error{border-color:#d55e00}
.findings .warning{border-color:#e69f00}
.gone{padding:.4rem .9rem;background:var(--raised);border-left:4px solid #d55e00}
@media (max-width:640px){body{padding:.8rem .8rem 2rem;font-size:14px}th,td{padding-right:.8rem}}
@media print{body{max-width:none;padding:0;font-size:10pt}.maps input,.maps label,.under-pointer{display:none}
.wide{overflow:visible}h2{break-after:avoid}tr,figure{break-inside:avoid}
:root{--back:#fff;--front:#000;--quiet:#444;--line:#bbb;--raised:#fff}}
"""

# Says which blocks the cell under the pointer stands for. It writes text alone, never HTML.
SCRIPT = """
for (const maps of document.querySelectorAll("[data-map]")) {
  const data = JSON.parse(maps.dataset.map), said = maps.querySelector(".under-pointer");
  const share = atob(data.share), holder = atob(data.holder);
  const block = (cell) => data.first + Math.floor(data.blocks * cell / data.cells);
  const number = (value) => value.toLocaleString("en");
  const tell = (event) => {
    const picture = event.currentTarget;
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
    const column = Math.floor(at.x), row = Math.floor(at.y), cell = row * data.columns + column;
    if (column < 0 || row < 0 || column >= data.columns || cell >= data.cells) { said.textContent = ""; return; }
    const first = block(cell), last = block(cell + 1) - 1, used = share.charCodeAt(cell);
    const kind = data.wide ? holder.charCodeAt(2 * cell) + 256 * holder.charCodeAt(2 * cell + 1)
      : holder.charCodeAt(cell);
    const blocks = first === last ? `Block ${number(first)}` : `Blocks ${number(first)} to ${number(last)}`;
    said.textContent = used ? `${blocks}: ${used} % allocated, ${data.labels[kind]}` : `${blocks}: free`;
  };
  for (const picture of maps.querySelectorAll("figure > svg")) {
    const title = picture.querySelector("title");  // browsers show it at the pointer
    picture.setAttribute("aria-label", title.textContent);
    title.remove();
    picture.addEventListener("pointermove", tell);
    picture.addEventListener("pointerleave", () => { said.textContent = ""; });
  }
}
"""
