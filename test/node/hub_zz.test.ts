import { test } from "vitest";
import { noise } from "./hub_fixture.ts";
import { startHub, gitHash } from "./hub_server.ts";
test("x", async () => {
  const t = (l: string) => console.log(l, Math.round(performance.now()));
  t("a"); const LONG = noise(8389608, 5); t("noise");
  const b = Buffer.from(LONG); t("buf");
  gitHash(b); t("hash");
  const hub = await startHub(); t("start");
  hub.commit("a/b", { x: LONG }); t("commit");
  await hub.close();
});
