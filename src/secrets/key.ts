/** What secrets are sealed with: `seal.ts` makes one of 32 bytes. */

/** A key. */
export type SecretKey = {
  /** Names the key without telling it (16 hex digits): stored beside what was sealed. */
  id: string
  /** Where it came from, for messages: a path, or the name of a binding. */
  from: string
  /** True of one that only stands for a key that is gone: it refuses everything, and says why. */
  lost?: true
  /** Base64 of nonce and ciphertext. `context` (owner and name) must be the same when it is opened. */
  seal(text: string, context: string): Promise<string>
  /** Throws `SECRET_LOCKED` when it was sealed with another key or for another context, or was altered. Never tells the text. */
  open(sealed: string, context: string): Promise<string>
}
