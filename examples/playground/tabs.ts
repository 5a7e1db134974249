/** The tabs. Which one is shown stands in the address, so that links lead to it; its panel is built when first shown. */

/** @param mount builds the panel of a tab, called once for each that is shown */
export function startTabs(tablist: HTMLElement, mount: (id: string, root: HTMLElement) => void): void {
  const tabs = [...tablist.querySelectorAll<HTMLElement>("[role=tab]")];
  const idOf = (tab: HTMLElement): string => tab.id.replace("tab-", "");
  const mounted = new Set<string>();

  const show = (): void => {
    const chosen = tabs.find((tab) => `#${idOf(tab)}` === location.hash) ?? tabs[0]!;
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      panelOf(tab).hidden = tab !== chosen;
    }
    chosen.scrollIntoView({ block: "nearest", inline: "center" });
    const id = idOf(chosen);
    if (mounted.has(id)) return;
    mounted.add(id);
    mount(id, panelOf(chosen));
  };

  const next: Readonly<Record<string, (at: number) => number>> = {
    ArrowRight: (at) => (at + 1) % tabs.length,
    ArrowLeft: (at) => (at + tabs.length - 1) % tabs.length,
    Home: () => 0,
    End: () => tabs.length - 1,
  };
  tablist.addEventListener("keydown", (event) => {
    const at = tabs.indexOf(event.target as HTMLElement);
    const tab = at < 0 ? undefined : tabs[next[event.key]?.(at) ?? -1];
    if (!tab) return;
    event.preventDefault();
    tab.focus();
    location.replace(`#${idOf(tab)}`); // walking along the tabs leaves no trail for the back button
  });
  for (const tab of tabs) {
    tab.addEventListener("click", () => {
      location.hash = idOf(tab);
    });
  }
  addEventListener("hashchange", show);
  show();
}

function panelOf(tab: HTMLElement): HTMLElement {
  return document.getElementById(tab.getAttribute("aria-controls")!)!;
}
