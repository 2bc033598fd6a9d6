const NAMES = ['ERR_TLS_CERT_ALTNAME_INVALID', 'HOSTNAME_MISMATCH', 'INVALID_CA', 'INVALID_PURPOSE', 'PATH_LENGTH_EXCEEDED']
const FAMILIES = /^(CERT_[A-Z_]+|[A-Z_]+_CERT|[A-Z_]+_IN_CHAIN|UNABLE_TO_[A-Z_]+|[A-Z_]+_IN_CERT_[A-Z_]+)$/

/**
 * Whether the code of an error says that the other side's certificate is not trusted: OpenSSL's names of what is wrong with one, and
 * Node's of a host name that it does not carry (Node manual, `tls`, "X509 certificate error codes").
 */
export function isUntrusted(code: string): boolean {
  return NAMES.includes(code) || FAMILIES.test(code)
}
