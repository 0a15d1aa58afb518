// What the run says: a line for each thing that was shown, and a closing line.

let passed = 0;

/** Runs one step and says that it held. A step that fails ends the run: the next ones build on it. */
export async function step(claim, act) {
  try {
    const result = await act();
    passed += 1;
    console.log(`ok ${claim}`);
    return result;
  } catch (error) {
    console.log(`not ok ${claim}`);
    throw error;
  }
}

/** The last line. */
export function close({ failed }) {
  console.log(`${passed} passed, ${failed} failed`);
}
