import { open } from "node:fs/promises";

/** Where a file system's magic number stands on its device. Source: the kernel's include/uapi/linux/magic.h and fs headers. */
const magics = [
  { type: "ext4", offset: 0x438, bytes: [0x53, 0xef] },
  { type: "erofs", offset: 0x400, bytes: [0xe2, 0xe1, 0xf5, 0xe0] },
  { type: "squashfs", offset: 0, bytes: [0x68, 0x73, 0x71, 0x73] },
  { type: "xfs", offset: 0, bytes: [0x58, 0x46, 0x53, 0x42] },
] as const;

export type FilesystemType = (typeof magics)[number]["type"];

/** What is on a block device (or in an image file); undefined when it is none of those known here. */
export async function readFilesystemType(device: string): Promise<FilesystemType | undefined> {
  const head = Buffer.alloc(0x440);
  const file = await open(device, "r");
  try {
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    return magics.find(({ offset, bytes }) => {
      const end = offset + bytes.length;
      return end <= bytesRead && head.subarray(offset, end).equals(Buffer.from(bytes));
    })?.type;
  } finally {
    await file.close();
  }
}
