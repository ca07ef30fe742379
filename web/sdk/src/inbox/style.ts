/** The inbox's looks; sites change them by custom properties and `::part()`. */
export const STYLE = `
:host{display:inline-block;position:relative;color-scheme:light dark;font:15px/1.45 system-ui,sans-serif;
--a:var(--clarion-accent,light-dark(#0b5cd5,#6aa8ff));--on:var(--clarion-accent-text,light-dark(#fff,#06111f));
--bg:var(--clarion-background,light-dark(#fff,#1d1f23));--fg:var(--clarion-text,light-dark(#1b1d21,#eceef2));
--dim:var(--clarion-dim,light-dark(#5a6069,#a6adb8));--line:var(--clarion-line,light-dark(#e3e6ea,#33373e))}
:host([hidden]),[hidden]{display:none!important}
*{box-sizing:border-box}
button{font:inherit;color:inherit;background:none;border:0;cursor:pointer}
:focus-visible{outline:3px solid var(--a);outline-offset:2px}
[part=bell]{position:relative;width:44px;height:44px;border-radius:50%;color:var(--fg)}
[part=bell]:hover{background:var(--line)}
[part=bell]::before{content:"";position:absolute;inset:10px;background:currentColor;
-webkit-mask:var(--i) center/contain no-repeat;mask:var(--i) center/contain no-repeat;
--i:url("data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E%3Cpath d='M12 2a7 7 0 0 0-7 7v4.6L3.3 17a1 1 0 0 0 .9 1.5h15.6a1 1 0 0 0 .9-1.5L19 13.6V9a7 7 0 0 0-7-7zM9 20a3 3 0 0 0 6 0z'/%3E%3C/svg%3E")}
[part=count]{position:absolute;top:0;inset-inline-end:0;min-width:20px;height:20px;padding:0 5px;border-radius:10px;
background:var(--a);color:var(--on);font-size:12px;line-height:20px;font-weight:600;text-align:center}
[part=panel]{position:absolute;z-index:1000;inset-inline-end:0;top:calc(100% + 8px);width:min(22rem,calc(100vw - 2rem));
max-height:min(32rem,70vh);overflow:auto;background:var(--bg);color:var(--fg);border:1px solid var(--line);
border-radius:14px;box-shadow:0 8px 32px #0003}
[part=head]{display:flex;justify-content:space-between;align-items:center;gap:8px;padding:12px 16px;
border-bottom:1px solid var(--line);position:sticky;top:0;background:var(--bg)}
h2{font-size:1rem;margin:0}
[part=all-read]{color:var(--a);padding:4px;font-size:13px}
ul{list-style:none;margin:0;padding:0}
li+li{border-top:1px solid var(--line)}
[part=empty]{padding:2rem 1rem;text-align:center;color:var(--dim)}
[part=link]{display:flex;gap:12px;width:100%;padding:12px 16px;text-align:start;text-decoration:none;color:inherit;align-items:start}
[part=link]:hover{background:var(--line)}
[part=words]{flex:1;min-width:0;overflow-wrap:anywhere}
[part=heading],[part=body],[part=time]{display:block}
[part=body]{white-space:pre-line}
[part=heading]{font-weight:500}
[part~=unread] [part=heading]{font-weight:700}
[part~=unread] [part=link]{box-shadow:inset 3px 0 var(--a)}
[part=time]{color:var(--dim);font-size:13px}
[part=image]{width:56px;height:56px;object-fit:cover;border-radius:8px;flex:none}`;
