export { ACTIONS, type Action, type Allowed, allow, type Principal } from './allow.ts'
