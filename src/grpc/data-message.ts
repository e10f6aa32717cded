/** Length-delimited, in protobuf's encoding of a tag. */
const bytesType = 2;
const sevenBits = 0x7f;
const more = 0x80;
/** Of a tag below 16, and of a length. */
const mostHeadBytes = 6;

/**
 * A message of protobuf with nothing in it but the bytes of one field, below 16. The generated encoders know no length
 * beforehand: they grow a buffer by doubling it and copy twice, and what a file of 100 MB left of that kept the collector
 * busy for a second.
 */
export function dataMessage(field: number, data: Uint8Array): Buffer {
  const message = Buffer.allocUnsafeSlow(mostHeadBytes + data.length);
  let at = 0;
  message[at++] = (field << 3) | bytesType;
  let length = data.length;
  for (; length > sevenBits; length >>>= 7) message[at++] = (length & sevenBits) | more;
  message[at++] = length;
  message.set(data, at);
  return message.subarray(0, at + data.length);
}
