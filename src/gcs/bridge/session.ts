/**
 * One host, over one connection or several. A host that numbers its messages from the start again is another one: what an
 * earlier one asked for is not answered to it.
 *
 * But for a machine that has moved: the new host knows what the old one had open, and waits for the answers under the old
 * ids. It connects with ids from the start, then goes on above all of the old ones (the jump), registers each open
 * WaitForProcess under its id, and asks for the same process anew, with a short time limit, in case it has exited already.
 * An answer that comes before its id is registered ends that host's bridge. So an answer to the old id is sent once the same
 * process is asked for by a host that has jumped over the old ids, and kept until then; when yet another host comes, what
 * that one has not adopted is dropped, as it cannot hand on what it does not know.
 * Source: hcsshim internal/controller/vm (save_lcow.go), internal/gcs (container.go, process.go).
 */
/** A host that has moved asks for its containers within moments; see Session.takesNotification. */
const NOTIFICATION_HOLD_MS = 3_000;
/** Waits that no host has claimed; the oldest go first. As many as there may be open. */
const MOST_UNCLAIMED = 16_384;
/** Containers that a host has named, more than there may be at once; the oldest go first. */
const MOST_NAMED = 4096;

export class Session {
  negotiated = false;
  #highestId = -1n;
  #requests = 0;
  /** The highest id of those whose waits it may adopt; below 0 where there are none. */
  readonly #earlierId: bigint;
  #hasAdopted = false;
  /** Since when it has negotiated, for one that came after another; performance.now(), milliseconds. */
  #since: number | undefined;
  readonly #replaces: boolean;
  readonly #named = new Set<string>();

  /** @param earlier the host that was here before */
  constructor(earlier?: Session) {
    this.#replaces = earlier !== undefined;
    this.#earlierId = earlier === undefined ? -1n : earlier.#lastId();
  }

  /** Also of a host that came and went before it could adopt anything. */
  #lastId(): bigint {
    return this.isUsed || this.#highestId > this.#earlierId ? this.#highestId : this.#earlierId;
  }

  /**
   * Its next request.
   * @returns whether it names a container that it had not named before
   */
  note(id: bigint, containerId: string): boolean {
    const isJump = this.#highestId >= 0n && id > this.#highestId + 1n;
    if (isJump && this.#highestId <= this.#earlierId && id > this.#earlierId) this.#hasAdopted = true;
    if (id > this.#highestId) this.#highestId = id;
    this.#requests++;
    if (!this.#replaces || containerId === "" || this.#named.has(containerId)) return false;
    this.#named.add(containerId);
    const [oldest] = this.#named;
    if (this.#named.size > MOST_NAMED && oldest !== undefined) this.#named.delete(oldest);
    return true;
  }

  /** Whether a connection that begins with this id is another host's. */
  isEndedBy(id: bigint): boolean {
    return this.#highestId >= 0n && id <= this.#highestId;
  }

  /** Whether it has done more than to negotiate. */
  get isUsed(): boolean {
    return this.#requests > 1;
  }

  /** Whether its ids have jumped over those of the host before: then it knows what that one had open. */
  get hasAdopted(): boolean {
    return this.#hasAdopted;
  }

  /** @returns milliseconds until it gets notifications of containers that it has not named */
  begin(): number {
    if (!this.#replaces) return 0;
    this.#since ??= performance.now();
    return Math.max(0, this.#since + NOTIFICATION_HOLD_MS - performance.now());
  }

  /**
   * A notification of a container that a host does not know ends its bridge. One that came after another is given a
   * moment to take over the containers, which shows by its naming them; one that takes over is told of no other.
   */
  takesNotification(containerId: string): boolean {
    if (!this.#replaces || this.#named.has(containerId)) return true;
    if (this.#hasAdopted || this.#since === undefined) return false;
    return performance.now() - this.#since >= NOTIFICATION_HOLD_MS;
  }
}

/** A WaitForProcess that is not answered, or whose answer nobody has claimed. */
export interface OpenWait {
  readonly containerId: string;
  readonly processId: number;
  /** Who waits for it now. */
  claimedBy: Session;
  /** Ready, and nobody's. */
  answer?: Buffer;
  /** Ends the waiting, of which nobody will ever want the answer; set once that has begun. */
  drop?: () => void;
  wasDropped?: boolean;
}

/** Waits of hosts that are gone. */
export class OrphanedWaits {
  readonly #waits = new Set<OpenWait>();
  readonly #byProcess = new Map<string, Set<OpenWait>>();

  add(wait: OpenWait): void {
    this.#waits.add(wait);
    const key = keyOf(wait);
    const others = this.#byProcess.get(key);
    if (others === undefined) this.#byProcess.set(key, new Set([wait]));
    else others.add(wait);
    const [oldest] = this.#waits;
    if (this.#waits.size > MOST_UNCLAIMED && oldest !== undefined) this.#drop(oldest);
  }

  /** @returns answers that are ready for the host that asks for this process now */
  claim(session: Session, containerId: string, processId: number): Buffer[] {
    if (!session.hasAdopted) return [];
    const ready: Buffer[] = [];
    for (const wait of this.#byProcess.get(keyOf({ containerId, processId })) ?? []) {
      wait.claimedBy = session;
      if (wait.answer === undefined) continue;
      ready.push(wait.answer);
      this.delete(wait);
    }
    return ready;
  }

  /** That host is gone, too: what it has not claimed nobody will. */
  dropUnclaimed(session: Session): void {
    for (const wait of this.#waits) if (wait.claimedBy !== session) this.#drop(wait);
  }

  /** It was answered. */
  delete(wait: OpenWait): void {
    if (!this.#waits.delete(wait)) return;
    const key = keyOf(wait);
    const others = this.#byProcess.get(key);
    others?.delete(wait);
    if (others?.size === 0) this.#byProcess.delete(key);
  }

  #drop(wait: OpenWait): void {
    this.delete(wait);
    wait.wasDropped = true;
    wait.drop?.();
  }
}

function keyOf({ containerId, processId }: Pick<OpenWait, "containerId" | "processId">): string {
  return `${processId} ${containerId}`;
}
