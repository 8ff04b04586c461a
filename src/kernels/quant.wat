;; Rounding to integer grids: f32 weights, rows x columns, in groups of $group columns of a row (the last of a row may be
;; shorter). Addresses are in bytes; scales, zeros, low and high have one f32 a group, row-major.
(module
  (memory (export "memory") 1 4096)

  ;; code = clip(rne(w / scale) + zero, low, high), one byte each. Every step is one f32 operation, as in QuantizeLinear.
  (func (export "encode")
    (param $w i32) (param $codes i32) (param $scales i32) (param $zeros i32)
    (param $rows i32) (param $columns i32) (param $group i32) (param $low f32) (param $high f32)
    (local $left i32) (local $n i32) (local $s f32) (local $z f32) (local $sv v128) (local $zv v128)
    (local $lowv v128) (local $highv v128) (local $x v128) (local $y f32)
    (local.set $lowv (f32x4.splat (local.get $low)))
    (local.set $highv (f32x4.splat (local.get $high)))
    (block $end (loop $row
      (br_if $end (i32.eqz (local.get $rows)))
      (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
      (local.set $left (local.get $columns))
      (block $rowEnd (loop $next
        (br_if $rowEnd (i32.eqz (local.get $left)))
        (local.set $n (select (local.get $group) (local.get $left) (i32.lt_u (local.get $group) (local.get $left))))
        (local.set $left (i32.sub (local.get $left) (local.get $n)))
        (local.set $s (f32.load (local.get $scales)))
        (local.set $z (f32.load (local.get $zeros)))
        (local.set $scales (i32.add (local.get $scales) (i32.const 4)))
        (local.set $zeros (i32.add (local.get $zeros) (i32.const 4)))
        (local.set $sv (f32x4.splat (local.get $s)))
        (local.set $zv (f32x4.splat (local.get $z)))
        (block $fours (loop $four
          (br_if $fours (i32.lt_u (local.get $n) (i32.const 4)))
          (local.set $x (f32x4.add
            (f32x4.nearest (f32x4.div (v128.load (local.get $w)) (local.get $sv))) (local.get $zv)))
          ;; pmax and pmin let NaN through, which becomes code 0.
          (local.set $x (i32x4.trunc_sat_f32x4_s
            (f32x4.pmin (f32x4.pmax (local.get $x) (local.get $lowv)) (local.get $highv))))
          (v128.store32_lane 0 (local.get $codes)
            (i8x16.shuffle 0 4 8 12 0 0 0 0 0 0 0 0 0 0 0 0 (local.get $x) (local.get $x)))
          (local.set $w (i32.add (local.get $w) (i32.const 16)))
          (local.set $codes (i32.add (local.get $codes) (i32.const 4)))
          (local.set $n (i32.sub (local.get $n) (i32.const 4)))
          (br $four)))
        (block $ones (loop $one
          (br_if $ones (i32.eqz (local.get $n)))
          (local.set $y (f32.add (f32.nearest (f32.div (f32.load (local.get $w)) (local.get $s))) (local.get $z)))
          (if (f32.lt (local.get $y) (local.get $low)) (then (local.set $y (local.get $low))))
          (if (f32.gt (local.get $y) (local.get $high)) (then (local.set $y (local.get $high))))
          (i32.store8 (local.get $codes) (i32.trunc_sat_f32_s (local.get $y)))
          (local.set $w (i32.add (local.get $w) (i32.const 4)))
          (local.set $codes (i32.add (local.get $codes) (i32.const 1)))
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (br $one)))
        (br $next)))
      (br $row))))

  ;; Least and largest weight of every group. NaN counts only where a group begins with it.
  (func (export "extremes")
    (param $w i32) (param $low i32) (param $high i32) (param $rows i32) (param $columns i32) (param $group i32)
    (local $left i32) (local $n i32) (local $x v128) (local $lo v128) (local $hi v128)
    (block $end (loop $row
      (br_if $end (i32.eqz (local.get $rows)))
      (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
      (local.set $left (local.get $columns))
      (block $rowEnd (loop $next
        (br_if $rowEnd (i32.eqz (local.get $left)))
        (local.set $n (select (local.get $group) (local.get $left) (i32.lt_u (local.get $group) (local.get $left))))
        (local.set $left (i32.sub (local.get $left) (local.get $n)))
        (local.set $lo (v128.load32_splat (local.get $w)))
        (local.set $hi (local.get $lo))
        (block $fours (loop $four
          (br_if $fours (i32.lt_u (local.get $n) (i32.const 4)))
          (local.set $x (v128.load (local.get $w)))
          (local.set $lo (f32x4.pmin (local.get $lo) (local.get $x)))
          (local.set $hi (f32x4.pmax (local.get $hi) (local.get $x)))
          (local.set $w (i32.add (local.get $w) (i32.const 16)))
          (local.set $n (i32.sub (local.get $n) (i32.const 4)))
          (br $four)))
        (block $ones (loop $one
          (br_if $ones (i32.eqz (local.get $n)))
          (local.set $x (v128.load32_splat (local.get $w)))
          (local.set $lo (f32x4.pmin (local.get $lo) (local.get $x)))
          (local.set $hi (f32x4.pmax (local.get $hi) (local.get $x)))
          (local.set $w (i32.add (local.get $w) (i32.const 4)))
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (br $one)))
        (local.set $lo (f32x4.pmin (local.get $lo) (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $lo) (local.get $lo))))
        (local.set $lo (f32x4.pmin (local.get $lo) (i8x16.shuffle 4 5 6 7 0 1 2 3 12 13 14 15 8 9 10 11 (local.get $lo) (local.get $lo))))
        (local.set $hi (f32x4.pmax (local.get $hi) (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $hi) (local.get $hi))))
        (local.set $hi (f32x4.pmax (local.get $hi) (i8x16.shuffle 4 5 6 7 0 1 2 3 12 13 14 15 8 9 10 11 (local.get $hi) (local.get $hi))))
        (v128.store32_lane 0 (local.get $low) (local.get $lo))
        (v128.store32_lane 0 (local.get $high) (local.get $hi))
        (local.set $low (i32.add (local.get $low) (i32.const 4)))
        (local.set $high (i32.add (local.get $high) (i32.const 4)))
        (br $next)))
      (br $row)))))
