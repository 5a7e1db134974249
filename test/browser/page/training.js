// The page of the training tests: it starts a worker, passes on what it tells, and sees whether it goes on itself meanwhile.

/** @param {(event: object) => object | undefined} answer what the worker is told at an event */
globalThis.inWorker = (request, answer = () => undefined) =>
  new Promise((resolve, reject) => {
    const worker = new Worker("/training/training_worker.js", { type: "module" });
    const events = [];
    /** Timers and frames of this page from the worker's first event to its last. */
    const went = { timers: 0, frames: 0 };
    const timer = setInterval(() => {
      if (events.length > 0) went.timers++;
    }, 5);
    let frame = requestAnimationFrame(function next() {
      if (events.length > 0) went.frames++;
      frame = requestAnimationFrame(next);
    });
    const end = () => {
      clearInterval(timer);
      cancelAnimationFrame(frame);
      worker.terminate();
    };
    worker.addEventListener("message", ({ data }) => {
      if (data.kind === "done") {
        end();
        resolve({ ...data.result, events, went });
      } else if (data.kind === "failed") {
        end();
        reject(new Error(data.message));
      } else {
        events.push(data);
        const told = answer(data);
        if (told) worker.postMessage(told);
      }
    });
    worker.addEventListener("error", ({ message }) => {
      end();
      reject(new Error(`the worker did not start: ${message}`));
    });
    worker.postMessage(request);
  });
