import { counted } from '../kernel/index.ts'
import type { BundleCheckpoint, BundleContent, LogStatement } from './bundle.model.ts'
import { type EventBody, LOGS, type LogName } from './event.ts'
import { closuresPart } from './report.closure.ts'
import { type Html, html, raw } from './report.html.ts'
import { dataText, type Step } from './report.step.ts'
import { type CredentialStory, type RotationStory, type Story, stepOf, tellStory } from './report.story.ts'
import { REPORT_STYLE } from './report.style.ts'
import { clockText, detailsText, probeText, spanText, timeText } from './report.text.ts'
import { ENDINGS, type Ending, wordsOf } from './report.words.ts'

/**
 * The page of a bundle, from the end of its machine part to the end of the file. A pure function of the content and total: what
 * can be read can be shown. Every value is escaped, and there are no scripts.
 */
export function renderReport(content: BundleContent): string {
  const story = tellStory(content)
  const rotations = story.credentials.flatMap((credential) => credential.rotations)
  const page = html`<style>${raw(REPORT_STYLE)}</style>
</head>
<body>
<main>
${opening(content, rotations, story)}
${summary(rotations)}
${closuresPart(
  story.closures,
  (id) => linkTo(rotations, id),
  ({ steps }) => timeline(steps, true),
)}<section>
<h2>Credentials</h2>
${story.credentials.length === 0 ? NO_CREDENTIAL : story.credentials.map(credentialPart)}</section>
${othersPart(story.others)}${checkpointPart(content)}
${controls(rotations, story)}
<footer>
<p>This page is drawn from the records at the head of this file, and only from them. Check records and page, offline, with
<code>rekey evidence verify</code> and the public key, obtained by another way than this file. The events are covered by the signed
checkpoints; when it was exported, the choice of events, what each log then held and how many events were not yet in the tree are under
a signature of their own. It cannot tell of anything later.</p>
</footer>
</main>
</body>
</html>
`
  return page.html
}

function linkTo(rotations: readonly RotationStory[], id: string): Html | null {
  const rotation = rotations.find((one) => one.id === id)
  return rotation === undefined ? null : html`<a href="#${anchor(rotation)}">its rotation</a>`
}

const GAP_MEANING =
  'How long a consumer’s file held only a value that the system no longer took. “none”: the old value and the new one both worked ' +
  'meanwhile. “–”: not measured, because Rekey writes no file for this credential or did not come so far.'
const NO_CREDENTIAL = html`<p class="soft">No credential is named in these events.</p>\n`

function opening({ head, logs }: BundleContent, rotations: readonly RotationStory[], story: Story): Html {
  const asOf =
    LOGS.flatMap((log) => logs[log].checkpoints.map(({ note }) => headOf(note).at))
      .sort()
      .at(-1) ?? ''
  const { filter, key, exportedAt } = head
  const pending = LOGS.reduce((sum, log) => sum + head.logs[log].pending, 0)
  const left = `Left out: ${counted(pending, 'newer event')}, not yet in the tree.`
  const scope = [
    filter.credential === null ? '' : `of ${filter.credential}`,
    filter.since === null ? '' : `since ${timeText(filter.since)}`,
  ]
  return html`<header>
<h1>Evidence of credential rotation</h1>
<p class="soft">${asOf === '' ? 'Nothing is signed yet' : `As of the last signed checkpoint, ${timeText(asOf)}`}. ${
    scope.join('') === '' ? 'All events' : `Only events ${scope.join(' ').trim()}`
  }. ${LOGS.map((log) => heldText(log, head.logs[log])).join(' ')}${pending === 0 ? '' : ` ${left}`}</p>
<p class="soft">Exported ${timeText(exportedAt)}, signed by <code>${key}</code></p>
${figures(rotations, story)}</header>`
}

function heldText(log: LogName, { size, events }: LogStatement): string {
  if (size === 0) return `The ${log} log was empty.`
  return `The ${log} log had ${counted(size, 'event')}${events === size ? '' : `, of which ${events} are here`}.`
}

/** What stands so is counted by itself: a reader must not take one that was undone for one that failed. */
function figures(rotations: readonly RotationStory[], story: Story): Html {
  const gaps = rotations.flatMap(({ gapMs }) => gapMs ?? [])
  const figure = (name: string, value: string | number): Html => html`<div><span>${name}</span><b>${value}</b></div>\n`
  const counts = endingsOf(rotations, ['proven dead']).map(({ ending, count }) => figure(ENDINGS[ending].figure, count))
  const closed = story.closures.length === 0 ? [] : [figure('identities suspended or left', story.closures.length)]
  return html`<div class="figures">
${closed}${figure('credentials', story.credentials.length)}${figure('rotations', rotations.length)}${counts}${figure(
  'longest gap',
  gaps.length === 0 ? '–' : gapText(gaps.reduce((a, b) => Math.max(a, b))),
)}</div>
`
}

/** How many rotations stand how, in the order of `ENDINGS`; those that none does are left out, but for `always`. */
function endingsOf(rotations: readonly RotationStory[], always: readonly Ending[] = []): { ending: Ending; count: number }[] {
  return (Object.keys(ENDINGS) as Ending[])
    .map((ending) => ({ ending, count: rotations.filter((one) => one.ending === ending).length }))
    .filter(({ ending, count }) => count > 0 || always.includes(ending))
}

function summary(rotations: readonly RotationStory[]): Html {
  if (rotations.length === 0) return html``
  const row = (rotation: RotationStory): Html =>
    html`<tr><td class="w head"><a href="#${anchor(rotation)}">${rotation.credential}</a></td><td class="t">${ending(
      rotation,
    )}</td><td class="t" data-of="Strategy">${rotation.strategy || '–'}</td><td data-of="Reason">${
      rotation.reason || '–'
    }</td><td class="t" data-of="Ordered">${clockText(rotation.steps[0]?.event.at ?? '')}</td><td class="n" data-of="Gap">${
      rotation.gapMs === null ? '–' : gapText(rotation.gapMs)
    }</td></tr>\n`
  const meaning = ({ ending: name }: { ending: Ending }): Html =>
    html`<dt class="${ENDINGS[name].tone}">${name}</dt><dd>${ENDINGS[name].meaning}</dd>\n`
  return html`<section>
<h2>Rotations</h2>
<div class="wide"><table class="stack">
<thead><tr><th>Credential</th><th>Outcome</th><th>Strategy</th><th>Reason</th><th>Ordered (UTC)</th><th class="n">Gap</th></tr></thead>
<tbody>
${rotations.map(row)}</tbody>
</table></div>
<dl class="soft">
${endingsOf(rotations).map(meaning)}<dt>Gap</dt><dd>${GAP_MEANING}</dd>
</dl>
</section>`
}

function credentialPart({ name, rotations, others }: CredentialStory): Html {
  if (rotations.length === 0) return html`<article>\n<header><h3>${name}</h3></header>\n${timeline(others, false)}</article>\n`
  return html`${rotations.map(rotationPart)}${
    others.length === 0
      ? html``
      : html`<article>
<header><h3>${name}</h3><span class="soft">outside of rotations</span></header>
${timeline(others, false)}</article>
`
  }`
}

function rotationPart(rotation: RotationStory): Html {
  const verified = stepOf(rotation, 'rotation.verified')?.event
  const dead = stepOf(rotation, 'rotation.proven_dead')?.event
  const facts: [string, string][] = [
    ['System', rotation.system],
    ['Reason', rotation.reason],
    ['Strategy', rotation.strategy],
    ['Ordered by', rotation.by],
    [rotation.ending === 'blocked' ? 'Blocked because' : 'Ended so because', rotation.trouble],
    ['New value', verified === undefined ? '' : probed(verified, 'probe')],
    ['Old value', dead === undefined ? '' : probed(dead, 'old')],
    ['Control', dead === undefined ? '' : `new value ${probed(dead, 'control')}`],
    ['Sessions of the old', dead === undefined ? '' : sessionsText(dead)],
    ['Revoked', timeText(dataText(dead, 'revokedAt'))],
    ['Effectively dead', timeText(dataText(dead, 'effectiveDeadAt'))],
    ['Proven dead', timeText(dataText(dead, 'provedDeadAt'))],
    ['Gap', rotation.gapMs === null ? '' : gapText(rotation.gapMs)],
  ]
  return html`<article id="${anchor(rotation)}">
<header><h3>${rotation.credential}</h3>${ending(rotation)}</header>
<dl>
${facts.filter(([, text]) => text !== '').map(([name, text]) => html`<dt>${name}</dt><dd>${text}</dd>\n`)}${versions(rotation)}</dl>
${timeline(rotation.steps, false)}</article>
`
}

function sessionsText(dead: EventBody): string {
  const ended = dataText(dead, 'sessionsEnded')
  return `${ended === '' ? '' : `${ended} ended, `}${dataText(dead, 'sessionsLeft') || 'not counted'} left`
}

/** `none` where both values worked all the time. */
function gapText(ms: number): string {
  return ms === 0 ? 'none' : spanText(ms)
}

/** `worker:…15e068cd` for an actor named by a UUID: the end tells it apart, and the event itself has all of it. */
function shortActor(actor: string): string {
  return actor.replace(/^([a-z]+:)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{4}([0-9a-f]{8})$/, '$1…$2')
}

function versions({ oldVersion, newVersion, id }: RotationStory): Html {
  const both =
    oldVersion === '' && newVersion === ''
      ? html``
      : html`<dt>Versions</dt><dd><code>${oldVersion || '–'}</code> → <code>${newVersion || '–'}</code></dd>\n`
  return html`${both}<dt>Rotation</dt><dd><code>${id}</code></dd>\n`
}

function timeline(steps: readonly Step[], withSubject: boolean): Html {
  const row = ({ log, index, event }: Step): Html =>
    html`<tr><td class="n soft" title="${log} log, event ${index}">${
      log === 'identity' ? 'i' : ''
    }${index}</td><td class="t">${clockText(event.at)}</td><td>${wordsOf(event.type)}</td>${
      withSubject ? html`<td data-of="Of">${event.subject}</td>` : html``
    }<td class="t" data-of="By">${shortActor(event.actor)}</td><td>${detailsText(event)}</td></tr>\n`
  const of = withSubject ? html`<th>Of</th>` : html``
  return html`<div class="wide"><table class="steps">
<thead><tr><th class="n">#</th><th>Time (UTC)</th><th>What</th>${of}<th>By</th><th>Details</th></tr></thead>
<tbody>
${steps.map(row)}</tbody>
</table></div>
`
}

function othersPart(steps: readonly Step[]): Html {
  return steps.length === 0 ? html`` : html`<section>\n<h2>Everything else</h2>\n${timeline(steps, true)}</section>\n`
}

function checkpointPart({ logs }: BundleContent): Html {
  const row = (log: LogName, { note }: BundleCheckpoint): Html => {
    const { size, root, at } = headOf(note)
    return html`<tr><td>${log}</td><td class="n">${size}</td><td class="t">${clockText(at)}</td><td><code>${root}</code></td></tr>\n`
  }
  return html`<section>
<h2>Checkpoints</h2>
<p class="soft">Each signs the whole log as it then was; each is proven to continue the one before.</p>
<div class="wide"><table>
<thead><tr><th>Log</th><th class="n">Events</th><th>Signed (UTC)</th><th>Root</th></tr></thead>
<tbody>
${LOGS.flatMap((log) => logs[log].checkpoints.map((checkpoint) => row(log, checkpoint)))}</tbody>
</table></div>
</section>`
}

function controls(rotations: readonly RotationStory[], { closures }: Story): Html {
  const ended = closures
    .flatMap(({ credentials }) => credentials)
    .filter(({ state }) => state === 'proven_dead' || state === 'rotated').length
  const ofLeavers = closures.length === 0 ? '' : `; ${counted(ended, 'credential')} of leavers ended with a proof`
  const has = (type: string) => rotations.filter((rotation) => stepOf(rotation, type) !== undefined).length
  const row = (control: string, meaning: string, shown: string): Html =>
    html`<tr><td class="w">${control}</td><td>${meaning}</td><td>${shown}</td></tr>\n`
  return html`<section>
<h2>Controls</h2>
<div class="wide"><table>
<thead><tr><th>Control</th><th>Asks for</th><th>Shown here</th></tr></thead>
<tbody>
${[
  row(
    'OWASP NHI7:2025 Long-Lived Secrets',
    'secrets are rotated',
    `${counted(has('rotation.verified'), 'new value')} verified on the system itself`,
  ),
  row(
    'OWASP NHI1:2025 Improper Offboarding',
    'what is no longer needed stops working',
    `${counted(has('rotation.proven_dead'), 'old value')} proven dead${ofLeavers}`,
  ),
  row(
    'NIST CSF 2.0 PR.AA-01 (1.1: PR.AC-1)',
    'credentials are managed by the organisation',
    `${counted(rotations.length, 'rotation')} on record, with order, steps and end`,
  ),
]}</tbody>
</table></div>
</section>`
}

function ending(rotation: RotationStory): Html {
  return html`<span class="${ENDINGS[rotation.ending].tone}">${rotation.ending}</span>`
}

function anchor({ id }: RotationStory): string {
  return `r-${encodeURIComponent(id)}`
}

/** A probe inside an event, and when it was made; the time of the event where the probe has none of its own. */
function probed(event: EventBody, what: string): string {
  const told = probeText(dataText(event, what, 'outcome'), dataText(event, what, 'code'))
  return `${told}, ${timeText(dataText(event, what, 'at') || event.at)}`
}

/** The lines of a checkpoint as they stand, unchecked: `verifyBundle` is what checks. */
function headOf(note: string): { size: string; root: string; at: string } {
  const [, size = '', root = '', at = ''] = note.split('\n')
  return { size, root, at: at.replace(/^at /, '') }
}
