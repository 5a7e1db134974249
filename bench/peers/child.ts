/**
 * A peer in a process of its own, asked through stdin and stdout. It stands still between answers. Its side of the
 * conversation is engines/serve.mjs.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

const MARK = "@peer ";
/** Milliseconds that an answer may take. BERT-base in software takes a minute. */
const PATIENCE = 300_000;
/** A library's threads spin for a while after their work, at the cost of the engine that is timed next. */
const CAN_PAUSE = process.platform !== "win32";
/** Characters of what a process last said that are told when it dies. */
const LAST_WORDS = 600;

export type Answer = Readonly<Record<string, unknown>>;

export interface PeerProcess {
  /** What it told after its first forward pass. */
  readonly about: Answer;
  /** Milliseconds from the start of the process to that. */
  readonly firstAnswer: number;
  /** @throws Error with its own message, when it has died, or when it does not answer */
  ask(command: Answer): Promise<Answer>;
  /** Safe to call twice. */
  kill(): void;
}

/** What a line of stdout answers; `undefined` for what a library prints. @throws Error when it tells of one */
export function parseAnswer(line: string): Answer | undefined {
  if (!line.startsWith(MARK)) return undefined;
  const answer = JSON.parse(line.slice(MARK.length)) as Answer;
  if (typeof answer.error === "string") throw new Error(answer.error);
  return answer;
}

/**
 * Starts a script, which loads its engine and makes a forward pass.
 * @param env in addition to this process's own
 * @param program that runs the script: Node when not given
 * @throws Error as `ask`
 */
export async function startPeer(
  script: string,
  taskFile: string,
  env: Readonly<Record<string, string>>,
  program: string = process.execPath,
): Promise<PeerProcess> {
  const started = performance.now();
  const child = spawn(program, [script, taskFile], { env: { ...process.env, ...env }, stdio: "pipe" });
  const kill = (): void => void child.kill("SIGKILL");
  process.setMaxListeners(process.getMaxListeners() + 1); // one for each child that lives
  process.once("exit", kill);
  child.once("close", () => {
    process.removeListener("exit", kill);
    process.setMaxListeners(process.getMaxListeners() - 1);
  });
  const answer = answersOf(child);
  const answerThenPause = async (): Promise<Answer> => {
    const told = await answer();
    if (CAN_PAUSE) child.kill("SIGSTOP");
    return told;
  };
  try {
    const about = await answerThenPause();
    return {
      about,
      firstAnswer: performance.now() - started,
      ask(command) {
        child.stdin.write(`${JSON.stringify(command)}\n`);
        if (CAN_PAUSE) child.kill("SIGCONT");
        return answerThenPause();
      },
      kill,
    };
  } catch (error) {
    kill();
    throw error;
  }
}

/** A function that waits for the next answer. One is waited for at a time. */
function answersOf(child: ChildProcess): () => Promise<Answer> {
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  let said = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-LAST_WORDS);
  });
  child.stdin!.on("error", () => {}); // it has died, which "close" tells
  const ended = new Promise<string>((resolve) => {
    child.once("error", ({ message }) => resolve(message));
    child.once("close", (code, signal) => resolve(`the process ended with ${code ?? signal}`));
  });
  return async () => {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL"); // which ends its lines
    }, PATIENCE);
    try {
      for (;;) {
        const { value, done } = await lines.next();
        if (done) {
          const reason = await ended;
          throw new Error(
            [late ? `no answer within ${PATIENCE / 1000} s` : reason, said.trim()].filter(Boolean).join(": "),
          );
        }
        const answer = parseAnswer(value);
        if (answer) return answer;
      }
    } finally {
      clearTimeout(timer);
    }
  };
}
