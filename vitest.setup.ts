import fc from "fast-check";

/**
 * Property tests draw the same examples in every run, so that a change passes or fails by its own merit. To look for
 * new examples: `FAST_CHECK_RUNS=5000 FAST_CHECK_SEED=$RANDOM npm test`.
 */
const { FAST_CHECK_SEED = "20250603", FAST_CHECK_RUNS } = process.env;
fc.configureGlobal({
  seed: Number(FAST_CHECK_SEED),
  ...(FAST_CHECK_RUNS === undefined ? {} : { numRuns: Number(FAST_CHECK_RUNS) }),
});
