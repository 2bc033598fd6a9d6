import type { Cli } from '../cli.ts'
import { EXIT } from '../exit.ts'

interface Rotated {
  readonly kek: string
  readonly rewrapped: number
}

/** Makes a new key-encryption key and wraps every data key again with it. */
export async function kekRotate(cli: Cli): Promise<number> {
  const rotated = await (await cli.client()).post<Rotated>('/v1/keks/rotate', {}, { startsWork: true })
  cli.out.fields(rotated, [
    ['key', rotated.kek],
    ['data keys wrapped again', rotated.rewrapped],
  ])
  return EXIT.ok
}
