/** The channel on which a process that changed a rotation wakes the others. It carries nothing: the rows say what is due. */
export const NUDGE = 'rekey_nudge'
