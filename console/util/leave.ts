/** Goes to a provider of logins: the one place where the console leaves its origin, as a page and never as a request of one. */
export function leaveFor(url: string): void {
  if (!/^https?:$/.test(new URL(url).protocol)) throw new Error('The provider has no web address.')
  location.assign(url)
}
