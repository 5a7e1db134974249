/** The launches of a forward, end to end along the time that the GPU took for them. */

import * as Plot from "@observablehq/plot";
import { colours, legend, STYLE } from "../../../src/page/plots/drawing.ts";
import { rove } from "../inside/rove.ts";
import type { MeasuredForward, TimedLaunch } from "./forward.ts";
import { kernelsOf, launchText } from "./work.ts";

interface Bar {
  readonly launch: TimedLaunch;
  readonly from: number;
  readonly to: number;
}

const LETTER = 8; // pixels of the plot's font, bold, generously

/**
 * @param visit told of the launch that has the focus or the pointer, in words; of none when both are gone
 * @returns what to put on the page, for this width in CSS pixels
 */
export function drawTimeline(forward: MeasuredForward, width: number, visit: (text: string) => void): Element[] {
  let end = 0;
  const bars = forward.launches.map((launch): Bar => {
    const from = end;
    end += launch.ms ?? 0;
    return { launch, from, to: end };
  });
  const groups = kernelsOf(forward.launches);
  const plot = Plot.plot({
    width,
    height: 128,
    style: STYLE,
    marginLeft: 2,
    marginRight: 14,
    marginTop: 6,
    marginBottom: 36,
    x: { domain: [0, end || 1], label: "milliseconds on the GPU", ticks: Math.max(2, Math.round(width / 120)) },
    y: { type: "band", domain: [0], axis: null, padding: 0 },
    color: colours(groups),
    marks: [
      Plot.barX(bars, {
        className: "launches",
        x1: "from",
        x2: "to",
        y: () => 0,
        fill: ({ launch }: Bar) => launch.kernel,
        stroke: "var(--card)",
        strokeWidth: (end / width) * 3 < end / bars.length ? 1 : 0.25,
        ariaLabel: ({ launch }: Bar) => launchText(launch, forward),
      }),
      Plot.text(bars, {
        x: ({ from, to }: Bar) => (from + to) / 2,
        y: () => 0,
        text: ({ launch, from, to }: Bar) =>
          ((to - from) / end) * width > launch.kernel.length * LETTER ? launch.kernel : "",
        fill: "var(--card)",
        fontWeight: 600,
        pointerEvents: "none",
      }),
    ],
  });
  const rects = [...plot.querySelectorAll<SVGRectElement>(".launches rect, g[aria-label=bar] rect")];
  for (const [i, rect] of rects.entries()) {
    const { label, kernel, ms } = bars[i]!.launch;
    Object.assign(rect.dataset, { label, kernel, ms: String(ms) });
    rect.setAttribute("role", "img");
  }
  rove(plot as unknown as HTMLElement, [rects], {
    visit: (_, i) => visit(launchText(bars[i]!.launch, forward)),
    leave: () => visit(""),
  });
  return [legend(groups), plot];
}
