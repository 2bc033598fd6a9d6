/** Bounds that hold everywhere. Each name ends with its unit. */
export const LIMITS = {
  /** Longest deadline of one call to a target system. */
  targetCallMs: 10_000,
  /** A claimed rotation belongs to one worker for so long; longer than all calls that one step can make. */
  leaseMs: 60_000,
  /** HTTP request body. */
  bodyBytes: 32 * 1024 * 1024,
  /** One secret value, as declared or generated. */
  secretBytes: 4096,
  /** Names in the inventory. */
  nameChars: 200,
  /** fleet.yaml. */
  fleetBytes: 4 * 1024 * 1024,
  /** Rows of one page of a list, at most and by default. */
  pageMax: 500,
  pageDefault: 100,
} as const
