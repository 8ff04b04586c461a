/** Numbers for people. Units are those of the field: KiB and MiB for memory, GB for files and links. */

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;
const DECIMAL = ['', 'k', 'M', 'G', 'T', 'P'] as const;

/** `54.0 KiB`, `1.50 MiB`, `312 B`: two decimals below ten, else one. */
export function formatBytes(bytes: number): string {
  let unit = 0;
  let size = Math.abs(bytes);
  while (unit < BINARY.length - 1 && size >= 1024) {
    size /= 1024;
    unit++;
  }
  const text = unit === 0 ? String(size) : size.toFixed(size < 10 ? 2 : 1);
  return `${bytes < 0 ? '-' : ''}${text} ${BINARY[unit]}`;
}

/** `1.24G`, `12.3M`, `999`, for counts of parameters and operations. */
export function formatCount(count: number): string {
  let unit = 0;
  let size = Math.abs(count);
  // 999.95 would round to 1000.0: step up first.
  while (unit < DECIMAL.length - 1 && size >= (unit === 0 ? 1000 : 999.5)) {
    size /= 1000;
    unit++;
  }
  const digits = unit === 0 ? (Number.isInteger(size) ? 0 : 2) : size < 10 ? 2 : size < 100 ? 1 : 0;
  return `${count < 0 ? '-' : ''}${size.toFixed(digits)}${DECIMAL[unit]}`;
}

/** `12,345`: cycles and exact counts, with a comma per three digits. */
export function formatInteger(value: number): string {
  const [whole, fraction] = String(Math.abs(value)).split('.');
  const grouped = /e/.test(whole) ? whole : whole.replaceAll(/\B(?=(?:\d{3})+$)/g, ',');
  return `${value < 0 ? '-' : ''}${grouped}${fraction === undefined ? '' : `.${fraction}`}`;
}

export const formatCycles = (cycles: number): string => `${formatInteger(Math.round(cycles))} cycles`;

/** `850 ns`, `12.3 us`, `4.56 ms`, `1.20 s`. */
export function formatSeconds(seconds: number): string {
  const units: readonly (readonly [number, string])[] = [
    [1, 's'],
    [1e-3, 'ms'],
    [1e-6, 'us'],
    [1e-9, 'ns'],
  ];
  const [scale, unit] = units.find(([step]) => Math.abs(seconds) >= step) ?? units[units.length - 1];
  const size = seconds / scale;
  return `${Math.abs(size) >= 100 ? size.toFixed(0) : Math.abs(size) >= 10 ? size.toFixed(1) : size.toFixed(2)} ${unit}`;
}

/** `12.5 %`. */
export const formatPercent = (fraction: number): string => `${(fraction * 100).toFixed(1)} %`;
