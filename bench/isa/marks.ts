/** What stands on stderr between the shaders that RADV prints. */

/** Before each, with its place. */
export const MARK = "@@ shader ";
/** Why one does not compile. */
export const FAULT = "@@ fault ";

/** WGSL, in the order in which it is compiled. */
export type Shaders = readonly string[];
