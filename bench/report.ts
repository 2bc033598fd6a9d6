import { arch, cpus, platform, totalmem } from 'node:os'

/** Milliseconds that `work` takes. */
export async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}

export function ms(value: number): string {
  return `${value.toFixed(1)} ms`
}

/** The middle one; of an even number the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const half = Math.floor(sorted.length / 2)
  const upper = sorted[half] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2
}

/** Median, and from where to where the values go. */
export function range(values: readonly number[]): string {
  return `${median(values).toFixed(2)} (${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)})`
}

/** One figure a line, with the machine they were measured on. */
export function report(name: string, figures: Readonly<Record<string, string>>): void {
  const [cpu] = cpus()
  const machine = `${cpus().length} × ${cpu?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${platform()} ${arch()}`
  console.log(`\n${name}   (${machine}, Node ${process.versions.node})`)
  for (const [what, figure] of Object.entries(figures)) console.log(`  ${what.padEnd(52)} ${figure}`)
}
