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

/** One figure a line, with the machine they were measured on. */
export function report(name: string, figures: Readonly<Record<string, string>>): void {
  const [cpu] = cpus()
  const machine = `${cpus().length} × ${cpu?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${platform()} ${arch()}`
  console.log(`\n${name}   (${machine}, Node ${process.versions.node})`)
  for (const [what, figure] of Object.entries(figures)) console.log(`  ${what.padEnd(52)} ${figure}`)
}
