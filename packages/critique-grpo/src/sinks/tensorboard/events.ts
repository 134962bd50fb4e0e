/**
 * TensorBoard's events as bytes (tensorflow/core/util/event.proto, framework/summary.proto, tensorboard's
 * plugins/hparams/plugin_data.proto; the comments name the fields). Pure.
 */
import { maskedCrc32c } from "./crc32c.js";
import { bytesField, doubleField, floatField, message, varintField } from "./protobuf.js";

/** Readers of this version drop what later files of a run say again (see `restartEvent`). */
const FILE_VERSION = "brain.Event:2";
const SESSION_START = 1;
const DT_STRING = 7;

/** One record of a TFRecord file: length, its checksum, data, its checksum. */
export function tfRecord(data: Uint8Array): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(data.length));
  const checksum = (bytes: Uint8Array) => {
    const content = Buffer.alloc(4);
    content.writeUInt32LE(maskedCrc32c(bytes));
    return content;
  };
  return Buffer.concat([length, checksum(length), data, checksum(data)]);
}

/** First in every file. */
export function versionEvent(wallSeconds: number): Buffer {
  // Event.file_version
  return event(wallSeconds, 0, bytesField(3, FILE_VERSION));
}

/** Tells a TensorBoard that is watching to forget what earlier files said from this step on. */
export function restartEvent(wallSeconds: number, step: number): Buffer {
  // Event.session_log, SessionLog.status
  return event(wallSeconds, step, bytesField(7, varintField(1, SESSION_START)));
}

/** Values of a step. Those that are not finite are left out: there was nothing to count. */
export function scalarsEvent(wallSeconds: number, step: number, values: Readonly<Record<string, number>>): Buffer {
  const finite = Object.entries(values).filter(([, value]) => Number.isFinite(value));
  // Summary.Value: tag, simple_value
  return summaryEvent(
    wallSeconds,
    step,
    finite.map(([tag, value]) => message(bytesField(1, tag), floatField(2, value))),
  );
}

/** A text that TensorBoard shows as Markdown. */
export function textEvent(wallSeconds: number, step: number, tag: string, text: string): Buffer {
  // TensorProto: dtype, tensor_shape (one dimension of size 1), string_val
  const shape = bytesField(2, bytesField(2, varintField(1, 1)));
  const tensor = message(varintField(1, DT_STRING), shape, bytesField(8, text));
  // Summary.Value: tag, metadata, tensor
  const value = message(
    bytesField(1, tag),
    bytesField(9, pluginMetadata("text", new Uint8Array())),
    bytesField(8, tensor),
  );
  return summaryEvent(wallSeconds, step, [value]);
}

export type HyperParameter = number | string | boolean;

/** What the HPARAMS tab compares. */
export function hyperParametersEvent(
  wallSeconds: number,
  name: string,
  values: Readonly<Record<string, HyperParameter>>,
): Buffer {
  // SessionStartInfo: hparams (a map: entries of key and google.protobuf.Value), group_name, start_time_secs
  const entries = Object.entries(values).map(([key, value]) =>
    bytesField(1, message(bytesField(1, key), bytesField(2, protobufValue(value)))),
  );
  const start = message(...entries, bytesField(4, name), doubleField(5, wallSeconds));
  return hyperParametersSummary(wallSeconds, "_hparams_/session_start_info", bytesField(3, start));
}

/** How the run of the hyper-parameters ended. */
export function sessionEndEvent(wallSeconds: number, succeeded: boolean): Buffer {
  // SessionEndInfo: status (1 success, 2 failure), end_time_secs
  const end = message(varintField(1, succeeded ? 1 : 2), doubleField(2, wallSeconds));
  return hyperParametersSummary(wallSeconds, "_hparams_/session_end_info", bytesField(4, end));
}

/** google.protobuf.Value: number_value, string_value, bool_value */
function protobufValue(value: HyperParameter): Buffer {
  switch (typeof value) {
    case "number":
      return doubleField(2, value);
    case "string":
      return bytesField(3, value);
    case "boolean":
      return varintField(4, value ? 1 : 0);
    default:
      throw new RangeError(`unknown hyper-parameter ${String(value satisfies never)}`);
  }
}

function hyperParametersSummary(wallSeconds: number, tag: string, data: Buffer): Buffer {
  const value = message(bytesField(1, tag), bytesField(9, pluginMetadata("hparams", data)));
  return summaryEvent(wallSeconds, 0, [value]);
}

/** SummaryMetadata.plugin_data: plugin_name, content */
function pluginMetadata(plugin: string, content: Uint8Array): Buffer {
  return bytesField(1, message(bytesField(1, plugin), bytesField(2, content)));
}

function summaryEvent(wallSeconds: number, step: number, values: readonly Buffer[]): Buffer {
  // Event.summary, Summary.value
  return event(wallSeconds, step, bytesField(5, message(...values.map((value) => bytesField(1, value)))));
}

/** Event: wall_time, step */
function event(wallSeconds: number, step: number, what: Buffer): Buffer {
  return message(doubleField(1, wallSeconds), varintField(2, step), what);
}
