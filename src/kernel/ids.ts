/**
 * A new identifier: UUID version 7 (RFC 9562 section 5.7), so that rows made later sort later.
 * `atMs` is Unix time in milliseconds.
 */
export function newId(atMs: number = performance.timeOrigin + performance.now()): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  new DataView(bytes.buffer).setBigUint64(0, (BigInt(Math.floor(atMs)) << 16n) | BigInt(((bytes[6] ?? 0) << 8) | (bytes[7] ?? 0)))
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x70
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const hex = Buffer.from(bytes).toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** True for a UUID in the form that `newId` writes. */
export function isId(text: string): boolean {
  return UUID.test(text)
}
