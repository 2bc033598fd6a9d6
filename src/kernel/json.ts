/** What JSON can carry (RFC 8259), and what evidence and API bodies are made of. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }
