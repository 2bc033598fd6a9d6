import { makeAuthority } from './certificates.ts'

const authority = makeAuthority()

/** A certificate authority of this process and one server certificate for IP address 127.0.0.1 (not for any name), PEM. */
export const LAB_TLS: { readonly ca: string; readonly cert: string; readonly key: string } = {
  ca: authority.ca,
  ...authority.issue({ hosts: ['127.0.0.1'] }),
}
