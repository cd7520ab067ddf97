/** A clock that a test moves by hand, in place of setTimeout and clearTimeout. */
export function fakeClock(t) {
  const real = [globalThis.setTimeout, globalThis.clearTimeout];
  t.after(() => ([globalThis.setTimeout, globalThis.clearTimeout] = real));
  const timers = new Set();
  let now = 0;
  globalThis.setTimeout = (act, delay) => {
    const timer = { at: now + delay, act };
    timers.add(timer);
    return timer;
  };
  globalThis.clearTimeout = (timer) => timers.delete(timer);
  return {
    /** Milliseconds at which something is due, in order. */
    due: () => [...timers].map((timer) => timer.at).sort((a, b) => a - b),
    passTo(time) {
      for (;;) {
        const [next] = [...timers].filter((timer) => timer.at <= time).sort((a, b) => a.at - b.at);
        if (!next) break;
        timers.delete(next);
        now = next.at;
        next.act();
      }
      now = time;
    },
  };
}
