/**
 * [rows, columns]: 0 where a row may look, very negative behind that. The last row sees every column, each one before
 * it a column less.
 */
export function causalMask(rows: number, columns = rows): Float32Array {
  const mask = new Float32Array(rows * columns);
  // A number rather than −∞: nothing turns into NaN, and exp() of it is zero all the same.
  for (let row = 0; row < rows; row++) mask.fill(-1e30, row * columns + columns - rows + row + 1, (row + 1) * columns);
  return mask;
}
