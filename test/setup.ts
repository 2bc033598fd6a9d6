import { afterAll } from 'vitest'
import { stopServer } from './lab/database.ts'

afterAll(stopServer)
