export { digestHex, fingerprint, messageSignature, newKey, open, possessionProof, randomSecret, seal } from './envelope.ts'
export { generatePassword } from './generate.ts'
export { keyFromPassphrase, newPassphraseCost, type PassphraseCost } from './passphrase.ts'
export {
  md5Answer,
  newScramKey,
  SCRAM_ITERATIONS,
  type ScramKey,
  ScramLogin,
  scramKey,
  scramSha256Verifier,
  scramVerifierOf,
} from './scram.ts'
export { mysqlNativeHash, sha256Hex } from './verifiers.ts'
