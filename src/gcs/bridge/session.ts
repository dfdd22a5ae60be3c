/**
 * One host, over one connection or several. A host that numbers its messages from the start again is another one: what an
 * earlier one asked for is not answered to it.
 *
 * But for a machine that has moved: the new host knows what the old one had open, and waits for the answers under the old
 * ids. It connects with ids from the start, then goes on above all of the old ones (the jump), registers each open
 * WaitForProcess under its id, and asks for the same process anew, with a short time limit, in case it has exited already.
 * An answer that comes before its id is registered ends that host's bridge. So an answer to the old id is sent once the same
 * process is asked for by a host that has jumped over the old ids, and kept until then.
 * Source: hcsshim internal/controller/vm (save_lcow.go), internal/gcs (container.go, process.go).
 */
/** A host that has moved asks for its containers within moments; see Session.holdsNotifications. */
const NOTIFICATION_HOLD_MS = 3_000;
/** Answers that no host has claimed; the oldest go first. */
const MOST_UNCLAIMED = 4096;

export class Session {
  negotiated = false;
  #highestId = -1n;
  #jump: { readonly from: bigint; readonly to: bigint } | undefined;
  /** Since when it has negotiated, for one that came after another; performance.now(), milliseconds. */
  #since: number | undefined;
  readonly #replaces: boolean;
  readonly #named = new Set<string>();

  /** @param replaces whether another host was here before */
  constructor(replaces: boolean) {
    this.#replaces = replaces;
  }

  /** Its next request. */
  note(id: bigint, containerId: string): void {
    if (this.#highestId >= 0n && id > this.#highestId + 1n) this.#jump ??= { from: this.#highestId, to: id };
    if (id > this.#highestId) this.#highestId = id;
    if (containerId !== "" && this.holdsNotifications) this.#named.add(containerId);
  }

  /** Whether a connection that begins with this id is another host's. */
  isEndedBy(id: bigint): boolean {
    return this.#highestId >= 0n && id <= this.#highestId;
  }

  /** Whether it knows what that one had open. */
  continues(earlier: Session): boolean {
    return (
      this.#jump !== undefined && this.#jump.from <= earlier.#highestId && this.#jump.to > earlier.#highestId
    );
  }

  /** @returns milliseconds until it gets notifications of containers that it has not named */
  begin(): number {
    if (!this.#replaces) return 0;
    this.#since ??= performance.now();
    return Math.max(0, this.#since + NOTIFICATION_HOLD_MS - performance.now());
  }

  /**
   * A notification of a container that a host does not know ends its bridge. One that came after another is given a
   * moment to take over the containers, which shows by its naming them.
   */
  get holdsNotifications(): boolean {
    return (
      this.#replaces && (this.#since === undefined || performance.now() - this.#since < NOTIFICATION_HOLD_MS)
    );
  }

  takesNotification(containerId: string): boolean {
    return !this.holdsNotifications || this.#named.has(containerId);
  }
}

/** A WaitForProcess that is not answered, or whose answer nobody has claimed. */
export interface OpenWait {
  readonly containerId: string;
  readonly processId: number;
  readonly session: Session;
  /** Who waits for it now. */
  claimedBy: Session;
  /** Ready, and nobody's. */
  answer?: Buffer;
}

/** Waits of hosts that are gone. */
export class OrphanedWaits {
  readonly #waits = new Set<OpenWait>();

  add(wait: OpenWait): void {
    this.#waits.add(wait);
    if (this.#waits.size <= MOST_UNCLAIMED) return;
    const [oldest] = this.#waits;
    if (oldest !== undefined) this.#waits.delete(oldest);
  }

  /** @returns answers that are ready for the host that asks for this process now */
  claim(session: Session, containerId: string, processId: number): Buffer[] {
    const ready: Buffer[] = [];
    for (const wait of this.#waits) {
      if (wait.processId !== processId || wait.containerId !== containerId) continue;
      if (wait.session === session || !session.continues(wait.session)) continue;
      wait.claimedBy = session;
      if (wait.answer === undefined) continue;
      ready.push(wait.answer);
      this.#waits.delete(wait);
    }
    return ready;
  }

  /** It was answered. */
  delete(wait: OpenWait): void {
    this.#waits.delete(wait);
  }
}
