/** The look of reports. Colours are variables, so that plots follow the page from light to dark. */

export const STYLE: string = `
:root {
  color-scheme: light dark;
  --back: #fbfbfa; --card: #fff; --ink: #1d2126; --soft: #646b75; --line: #dfe2e6; --accent: #d9480f;
  --bad: #b42318; --bad-back: #fef3f2; --neutral: #9aa3ae;
  --c1: #2f6fde; --c2: #d9480f; --c3: #16876a; --c4: #8b4fc9; --c5: #b7860b; --c6: #c2347f; --c7: #0e8aa8; --c8: #6b7280;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #14171b; --card: #1b1f25; --ink: #e4e7eb; --soft: #9aa3ae; --line: #323840; --accent: #ff8a5c;
    --bad: #ff9b8f; --bad-back: #2c1a19; --neutral: #6b7480;
    --c1: #75a7ff; --c2: #ff8a5c; --c3: #4fc9a4; --c4: #bf94f2; --c5: #e0b341; --c6: #f27bb5; --c7: #56c5de; --c8: #a3abb6;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; -webkit-text-size-adjust: 100%; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 48px; }
h1 { font-size: 1.6rem; margin: 0 0 16px; letter-spacing: -0.01em; }
h2 { font-size: 1.15rem; margin: 0 0 4px; }
h3 { font-size: 0.95rem; margin: 16px 0 0; }
p, footer { color: var(--soft); margin: 0 0 12px; font-size: 0.9rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px; margin: 0 0 18px; min-width: 0; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 280px), 1fr)); gap: 8px 24px; margin: 8px 0 0; }
dl .wide { grid-column: 1 / -1; }
dt { color: var(--soft); font-size: 0.78rem; }
dd { margin: 0; overflow-wrap: anywhere; font-size: 0.92rem; }
.failures { background: var(--bad-back); border-color: var(--bad); }
.failures h2, .warning { color: var(--bad); }
.warning { margin: 12px 0 0; }
.failures ul { margin: 4px 0 0; padding-left: 20px; overflow-wrap: anywhere; font-size: 0.92rem; }
.plot { min-height: 40px; margin: 0 0 12px; }
.plot figure { margin: 0; }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 0 24px; }
.beside > * { min-width: 0; }
.plot svg { overflow: visible; max-width: 100%; --plot-background: var(--card); }
.table { overflow-x: auto; margin: 0 -18px -16px; border-top: 1px solid var(--line); padding: 4px 18px 10px; }
.table:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px; border-radius: 0 0 10px 10px; }
.long .table { max-height: 360px; overflow-y: auto; padding-top: 0; }
.long thead th { position: sticky; top: 0; background: var(--card); padding-top: 8px; }
table { border-collapse: collapse; font-size: 0.82rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { text-align: right; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; }
tbody tr:last-child td { border-bottom: 0; }
tbody tr:hover { background: color-mix(in srgb, var(--neutral) 12%, transparent); }
.text { text-align: left; }
@media (max-width: 560px) {
  main { padding: 16px 10px 32px; }
  section { padding: 14px 12px; }
  .table { margin: 0 -12px -14px; padding: 4px 12px 8px; }
  .long .table { padding-top: 0; }
}
@media print { section { break-inside: avoid; } .table, .long .table { overflow: visible; max-height: none; } }
`;
