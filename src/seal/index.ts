export { digestHex, fingerprint, newKey, open, possessionProof, randomSecret, seal } from './envelope.ts'
export { generatePassword } from './generate.ts'
export { keyFromPassphrase, newPassphraseCost, type PassphraseCost } from './passphrase.ts'
export { mysqlNativeHash, SCRAM_ITERATIONS, scramSha256Verifier, sha256Hex } from './verifiers.ts'
