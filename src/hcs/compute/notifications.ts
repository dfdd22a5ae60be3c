/**
 * What the compute service tells about systems and processes: HCS_NOTIFICATIONS of Windows' computecore, names as
 * hcsshim prints them (internal/hcs/callback.go there).
 */
export const HcsNotification = {
  Invalid: 0x00000000,
  SystemExited: 0x00000001,
  SystemCreateCompleted: 0x00000002,
  SystemStartCompleted: 0x00000003,
  SystemPauseCompleted: 0x00000004,
  SystemResumeCompleted: 0x00000005,
  SystemCrashReport: 0x00000006,
  SystemSiloJobCreated: 0x00000007,
  SystemSaveCompleted: 0x00000008,
  SystemRdpEnhancedModeStateChanged: 0x00000009,
  SystemShutdownFailed: 0x0000000a,
  SystemGetPropertiesCompleted: 0x0000000b,
  SystemModifyCompleted: 0x0000000c,
  SystemCrashInitiated: 0x0000000d,
  SystemGuestConnectionClosed: 0x0000000e,
  ProcessExited: 0x00010000,
  ServiceDisconnect: 0x01000000,
} as const;

export type HcsNotificationName = keyof typeof HcsNotification;
export type HcsNotification = (typeof HcsNotification)[HcsNotificationName];

/** "SystemExited"; "Unknown: 99" for a number without a name. */
export function notificationName(type: number): string {
  const found = Object.entries(HcsNotification).find(([, number]) => number === type);
  return found?.[0] ?? `Unknown: ${type}`;
}

/** Those that a system's handle can wait for, as in hcsshim. */
export const SYSTEM_NOTIFICATIONS: readonly HcsNotification[] = [
  HcsNotification.ServiceDisconnect,
  HcsNotification.SystemExited,
  HcsNotification.SystemCreateCompleted,
  HcsNotification.SystemStartCompleted,
  HcsNotification.SystemPauseCompleted,
  HcsNotification.SystemResumeCompleted,
  HcsNotification.SystemSaveCompleted,
];
