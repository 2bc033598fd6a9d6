import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

/** Everything is a file of its own with a hash in its name: nothing inline, which the Content-Security-Policy would refuse. */
export default defineConfig({
  base: '/console/',
  envDir: false,
  plugins: [react()],
  build: { assetsInlineLimit: 0, modulePreload: { polyfill: false }, target: 'es2022', reportCompressedSize: false },
})
