/** Keys of a schema that hold paths. */
import { z } from "zod";

/** What a path must point to. "output" may be missing: it is made. */
export type PathKind = "file" | "directory" | "module" | "output";
/** The keys that hold paths: they are resolved relative to the YAML file and checked for existence. */
export const pathKinds = z.registry<{ kind: PathKind }>();

/** A key that holds a path. */
export const path = (kind: PathKind, description: string) =>
  z.string().min(1).describe(description).register(pathKinds, { kind });
