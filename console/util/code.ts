/** A one-time code out of the fragment of an address, taken and removed before anything else can read or keep it. */
let code = takeCode()

function takeCode(): string | null {
  const found = /^#code=([A-Za-z0-9._~-]{1,100})$/.exec(location.hash)?.[1] ?? null
  if (found !== null) history.replaceState(null, '', `${location.pathname}${location.search}`)
  return found
}

/** Whether one came with the address. */
export function hasCode(): boolean {
  return code !== null
}

/** The code; empty if none came. */
export function readCode(): string {
  return code ?? ''
}

/** It was used. */
export function forgetCode(): void {
  code = null
}
