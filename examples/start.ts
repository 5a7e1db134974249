/** `npm run playground`: serves the examples until it is interrupted. */

import { serveSite } from "./serve.ts";

const port = Number(process.env.PORT ?? 8080);
try {
  const { url } = await serveSite({ port });
  console.log(`playground        ${url}/playground/`);
  for (const name of ["vanilla", "shared-device", "worker"]) console.log(`${name.padEnd(17)} ${url}/${name}/`);
} catch (error) {
  console.error(`port ${port}: ${(error as Error).message}; choose another with PORT=8081 npm run playground`);
  process.exit(1);
}
