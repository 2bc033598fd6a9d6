/** How the report looks: one style sheet, no fonts or pictures from elsewhere, light and dark, and fit for paper. */
export const REPORT_STYLE = `:root{color-scheme:light dark;--ink:#1a1d21;--soft:#5d6670;--line:#dfe3e8;--ground:#fff;--tint:#f6f7f9;
--good:#0b6b3a;--bad:#a8230f;--wait:#8a5a00}
@media (prefers-color-scheme:dark){:root{--ink:#e6e8eb;--soft:#9aa4af;--line:#2f353c;--ground:#14171a;--tint:#1c2024;--good:#5fcf95;
--bad:#ff8a75;--wait:#e9b754}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",Arial,sans-serif;font-variant-numeric:tabular-nums}
main{max-width:70rem;margin:0 auto;padding:3rem 2rem 5rem}
h1{font-size:1.9rem;line-height:1.2;letter-spacing:-.015em;margin:0 0 .5rem}
h2{font-size:1.25rem;margin:3.5rem 0 .75rem;letter-spacing:-.01em}
h3{font-size:1.02rem;margin:0;overflow-wrap:anywhere}
p{margin:.4rem 0;max-width:46rem}
.soft,th,dt{color:var(--soft)}
code{font:.86em/1.4 ui-monospace,"SF Mono",Menlo,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
.figures{display:flex;flex-wrap:wrap;gap:.5rem 2.75rem;margin:2rem 0 0;padding:1.1rem 0;border:solid var(--line);border-width:1px 0}
.figures div{display:flex;flex-direction:column-reverse}
.figures b{font-size:1.6rem;font-weight:600;line-height:1.2;letter-spacing:-.02em}
.figures span{font-size:.83rem;color:var(--soft)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.87rem}
th{font-weight:500;text-align:left;font-size:.8rem}
th,td{padding:.42rem .9rem .42rem 0;border-bottom:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
th:last-child,td:last-child{padding-right:0}
.n{text-align:right;white-space:nowrap}
.t{white-space:nowrap}
.good{color:var(--good)}.bad{color:var(--bad)}.wait{color:var(--wait)}
.good,.bad,.wait{font-weight:600}
a{color:inherit;text-decoration-color:var(--line);text-underline-offset:.18em}
article{margin:0 0 2.25rem;padding-top:1.1rem;border-top:1px solid var(--line)}
article header{display:flex;justify-content:space-between;gap:1rem;align-items:baseline}
dl{display:grid;grid-template-columns:minmax(8rem,max-content) 1fr;gap:.2rem 1.5rem;margin:.7rem 0 1rem;font-size:.9rem}
dd{margin:0;overflow-wrap:anywhere}
td.w{min-width:10rem}
.wide table{min-width:44rem}
.steps{table-layout:fixed}
.steps th:nth-child(1){width:3.2rem}.steps th:nth-child(2){width:12rem}.steps th:nth-child(3){width:13.5rem}
.steps th:nth-last-child(2){width:9.8rem}.steps th:nth-child(4):nth-last-child(3){width:11rem}
section>dl{margin-top:1.2rem}
footer{margin-top:3.5rem;padding-top:1rem;border-top:1px solid var(--line);font-size:.85rem;color:var(--soft)}
@media screen and (max-width:40rem){main{padding:1.5rem 1rem 3rem}h2{margin-top:2.5rem}dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}
.figures{display:grid;grid-template-columns:1fr 1fr;gap:.8rem 1.5rem}.figures div{justify-content:flex-end}
.wide .stack,.wide .steps{min-width:0}.stack,.stack tbody,.steps,.steps tbody{display:block}.stack thead,.steps thead{display:none}
.stack tr,.steps tr{display:flex;flex-wrap:wrap;gap:0 1rem;padding:.55rem 0;border-bottom:1px solid var(--line)}
.stack td,.steps td{border:0;padding:0}.stack .head{flex:1 0 55%}.steps td:nth-child(3),.steps td:last-child{flex:1 0 100%}
td[data-of]::before{content:attr(data-of) " ";color:var(--soft)}}
@media print{:root{--ink:#000;--soft:#444;--line:#bbb;--ground:#fff;--good:#000;--bad:#000;--wait:#000}
html{font-size:11.5px}body{font-size:9pt}td,th{padding-top:.25rem;padding-bottom:.25rem}h1{font-size:1.7rem}
.t,.figures b{white-space:nowrap}article{margin-bottom:1.2rem}
article dl{grid-template-columns:max-content 1fr max-content 1fr;gap:.1rem 1rem}
main{max-width:none;padding:0}h2{margin-top:2rem;break-after:avoid}header,dl,tr{break-inside:avoid}thead{display:table-header-group}
.wide{overflow:visible}.wide table{min-width:0}a{text-decoration:none}@page{margin:16mm 14mm}}
`
