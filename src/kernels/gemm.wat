;; SIMD kernels for matrix products. Addresses and strides are in bytes; k, m, n count elements. Every result is one sum in
;; the order of k, in f32 (or exact in i32), whatever the tile it falls in: cutting rows or columns into parts, as threads
;; do, changes no bit. Columns come in panels of 8. B is packed (a panel is k rows of 8) or lies row by row where it is
;; (ldb = its row, step = 32); what is read beyond the last column is not stored.
(module
  (import "wafc" "memory" (memory 1 65536 shared))

  ;; The first $width (1 to 8) of 8 lanes.
  (func $store (param $at i32) (param $v0 v128) (param $v1 v128) (param $width i32)
    (if (i32.eq (local.get $width) (i32.const 8)) (then
      (v128.store (local.get $at) (local.get $v0))
      (v128.store offset=16 (local.get $at) (local.get $v1))
      (return)))
    (if (i32.and (local.get $width) (i32.const 4)) (then
      (v128.store (local.get $at) (local.get $v0))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (local.set $v0 (local.get $v1))))
    (if (i32.and (local.get $width) (i32.const 2)) (then
      (v128.store64_lane 0 (local.get $at) (local.get $v0))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (local.set $v0 (i64x2.splat (i64x2.extract_lane 1 (local.get $v0))))))
    (if (i32.and (local.get $width) (i32.const 1)) (then
      (v128.store32_lane 0 (local.get $at) (local.get $v0)))))

  (func $min8 (param $n i32) (result i32)
    (select (i32.const 8) (local.get $n) (i32.gt_s (local.get $n) (i32.const 8))))

  ;; 4 rows by 8 columns of f32; $s0 and $s1 are what the sums start from.
  (func $tile4
    (param $a i32) (param $lda i32) (param $b i32) (param $ldb i32) (param $c i32) (param $ldc i32)
    (param $k i32) (param $width i32) (param $s0 v128) (param $s1 v128)
    (local $a1 i32) (local $a2 i32) (local $a3 i32) (local $x v128) (local $b0 v128) (local $b1 v128)
    (local $c00 v128) (local $c01 v128) (local $c10 v128) (local $c11 v128)
    (local $c20 v128) (local $c21 v128) (local $c30 v128) (local $c31 v128)
    (local.set $a1 (i32.add (local.get $a) (local.get $lda)))
    (local.set $a2 (i32.add (local.get $a1) (local.get $lda)))
    (local.set $a3 (i32.add (local.get $a2) (local.get $lda)))
    (local.set $c00 (local.get $s0)) (local.set $c01 (local.get $s1))
    (local.set $c10 (local.get $s0)) (local.set $c11 (local.get $s1))
    (local.set $c20 (local.get $s0)) (local.set $c21 (local.get $s1))
    (local.set $c30 (local.get $s0)) (local.set $c31 (local.get $s1))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $k)))
        (local.set $b0 (v128.load (local.get $b)))
        (local.set $b1 (v128.load offset=16 (local.get $b)))
        (local.set $x (v128.load32_splat (local.get $a)))
        (local.set $c00 (f32x4.add (local.get $c00) (f32x4.mul (local.get $x) (local.get $b0))))
        (local.set $c01 (f32x4.add (local.get $c01) (f32x4.mul (local.get $x) (local.get $b1))))
        (local.set $x (v128.load32_splat (local.get $a1)))
        (local.set $c10 (f32x4.add (local.get $c10) (f32x4.mul (local.get $x) (local.get $b0))))
        (local.set $c11 (f32x4.add (local.get $c11) (f32x4.mul (local.get $x) (local.get $b1))))
        (local.set $x (v128.load32_splat (local.get $a2)))
        (local.set $c20 (f32x4.add (local.get $c20) (f32x4.mul (local.get $x) (local.get $b0))))
        (local.set $c21 (f32x4.add (local.get $c21) (f32x4.mul (local.get $x) (local.get $b1))))
        (local.set $x (v128.load32_splat (local.get $a3)))
        (local.set $c30 (f32x4.add (local.get $c30) (f32x4.mul (local.get $x) (local.get $b0))))
        (local.set $c31 (f32x4.add (local.get $c31) (f32x4.mul (local.get $x) (local.get $b1))))
        (local.set $a (i32.add (local.get $a) (i32.const 4)))
        (local.set $a1 (i32.add (local.get $a1) (i32.const 4)))
        (local.set $a2 (i32.add (local.get $a2) (i32.const 4)))
        (local.set $a3 (i32.add (local.get $a3) (i32.const 4)))
        (local.set $b (i32.add (local.get $b) (local.get $ldb)))
        (local.set $k (i32.sub (local.get $k) (i32.const 1)))
        (br $next)))
    (if (i32.eq (local.get $width) (i32.const 8)) (then
      (v128.store (local.get $c) (local.get $c00)) (v128.store offset=16 (local.get $c) (local.get $c01))
      (local.set $c (i32.add (local.get $c) (local.get $ldc)))
      (v128.store (local.get $c) (local.get $c10)) (v128.store offset=16 (local.get $c) (local.get $c11))
      (local.set $c (i32.add (local.get $c) (local.get $ldc)))
      (v128.store (local.get $c) (local.get $c20)) (v128.store offset=16 (local.get $c) (local.get $c21))
      (local.set $c (i32.add (local.get $c) (local.get $ldc)))
      (v128.store (local.get $c) (local.get $c30)) (v128.store offset=16 (local.get $c) (local.get $c31))
      (return)))
    (call $store (local.get $c) (local.get $c00) (local.get $c01) (local.get $width))
    (local.set $c (i32.add (local.get $c) (local.get $ldc)))
    (call $store (local.get $c) (local.get $c10) (local.get $c11) (local.get $width))
    (local.set $c (i32.add (local.get $c) (local.get $ldc)))
    (call $store (local.get $c) (local.get $c20) (local.get $c21) (local.get $width))
    (local.set $c (i32.add (local.get $c) (local.get $ldc)))
    (call $store (local.get $c) (local.get $c30) (local.get $c31) (local.get $width)))

  ;; One row by 8 columns.
  (func $row8
    (param $a i32) (param $b i32) (param $ldb i32) (param $c i32) (param $k i32) (param $width i32)
    (param $c0 v128) (param $c1 v128)
    (local $x v128)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $k)))
        (local.set $x (v128.load32_splat (local.get $a)))
        (local.set $c0 (f32x4.add (local.get $c0) (f32x4.mul (local.get $x) (v128.load (local.get $b)))))
        (local.set $c1 (f32x4.add (local.get $c1) (f32x4.mul (local.get $x) (v128.load offset=16 (local.get $b)))))
        (local.set $a (i32.add (local.get $a) (i32.const 4)))
        (local.set $b (i32.add (local.get $b) (local.get $ldb)))
        (local.set $k (i32.sub (local.get $k) (i32.const 1)))
        (br $next)))
    (call $store (local.get $c) (local.get $c0) (local.get $c1) (local.get $width)))

  ;; One row by four panels of 8 columns: eight sums in flight hide the latency of an addition.
  (func $row32
    (param $a i32) (param $b i32) (param $ldb i32) (param $step i32) (param $c i32) (param $k i32) (param $bias i32)
    (local $b1 i32) (local $b2 i32) (local $b3 i32) (local $x v128)
    (local $c0 v128) (local $c1 v128) (local $c2 v128) (local $c3 v128)
    (local $c4 v128) (local $c5 v128) (local $c6 v128) (local $c7 v128)
    (local.set $b1 (i32.add (local.get $b) (local.get $step)))
    (local.set $b2 (i32.add (local.get $b1) (local.get $step)))
    (local.set $b3 (i32.add (local.get $b2) (local.get $step)))
    (if (local.get $bias) (then
      (local.set $c0 (v128.load offset=0 (local.get $bias)))
      (local.set $c1 (v128.load offset=16 (local.get $bias)))
      (local.set $c2 (v128.load offset=32 (local.get $bias)))
      (local.set $c3 (v128.load offset=48 (local.get $bias)))
      (local.set $c4 (v128.load offset=64 (local.get $bias)))
      (local.set $c5 (v128.load offset=80 (local.get $bias)))
      (local.set $c6 (v128.load offset=96 (local.get $bias)))
      (local.set $c7 (v128.load offset=112 (local.get $bias)))))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $k)))
        (local.set $x (v128.load32_splat (local.get $a)))
        (local.set $c0 (f32x4.add (local.get $c0) (f32x4.mul (local.get $x) (v128.load (local.get $b)))))
        (local.set $c1 (f32x4.add (local.get $c1) (f32x4.mul (local.get $x) (v128.load offset=16 (local.get $b)))))
        (local.set $c2 (f32x4.add (local.get $c2) (f32x4.mul (local.get $x) (v128.load (local.get $b1)))))
        (local.set $c3 (f32x4.add (local.get $c3) (f32x4.mul (local.get $x) (v128.load offset=16 (local.get $b1)))))
        (local.set $c4 (f32x4.add (local.get $c4) (f32x4.mul (local.get $x) (v128.load (local.get $b2)))))
        (local.set $c5 (f32x4.add (local.get $c5) (f32x4.mul (local.get $x) (v128.load offset=16 (local.get $b2)))))
        (local.set $c6 (f32x4.add (local.get $c6) (f32x4.mul (local.get $x) (v128.load (local.get $b3)))))
        (local.set $c7 (f32x4.add (local.get $c7) (f32x4.mul (local.get $x) (v128.load offset=16 (local.get $b3)))))
        (local.set $a (i32.add (local.get $a) (i32.const 4)))
        (local.set $b (i32.add (local.get $b) (local.get $ldb)))
        (local.set $b1 (i32.add (local.get $b1) (local.get $ldb)))
        (local.set $b2 (i32.add (local.get $b2) (local.get $ldb)))
        (local.set $b3 (i32.add (local.get $b3) (local.get $ldb)))
        (local.set $k (i32.sub (local.get $k) (i32.const 1)))
        (br $next)))
    (v128.store offset=0 (local.get $c) (local.get $c0))
    (v128.store offset=16 (local.get $c) (local.get $c1))
    (v128.store offset=32 (local.get $c) (local.get $c2))
    (v128.store offset=48 (local.get $c) (local.get $c3))
    (v128.store offset=64 (local.get $c) (local.get $c4))
    (v128.store offset=80 (local.get $c) (local.get $c5))
    (v128.store offset=96 (local.get $c) (local.get $c6))
    (v128.store offset=112 (local.get $c) (local.get $c7)))

  ;; One panel of columns for all rows.
  (func $panel
    (param $a i32) (param $lda i32) (param $b i32) (param $ldb i32) (param $c i32) (param $ldc i32)
    (param $m i32) (param $k i32) (param $width i32) (param $bias i32)
    (local $s0 v128) (local $s1 v128)
    (if (local.get $bias) (then
      (local.set $s0 (v128.load (local.get $bias)))
      (local.set $s1 (v128.load offset=16 (local.get $bias)))))
    (block $rest
      (loop $next
        (br_if $rest (i32.lt_s (local.get $m) (i32.const 4)))
        (call $tile4 (local.get $a) (local.get $lda) (local.get $b) (local.get $ldb) (local.get $c) (local.get $ldc)
          (local.get $k) (local.get $width) (local.get $s0) (local.get $s1))
        (local.set $a (i32.add (local.get $a) (i32.shl (local.get $lda) (i32.const 2))))
        (local.set $c (i32.add (local.get $c) (i32.shl (local.get $ldc) (i32.const 2))))
        (local.set $m (i32.sub (local.get $m) (i32.const 4)))
        (br $next)))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $m)))
        (call $row8 (local.get $a) (local.get $b) (local.get $ldb) (local.get $c) (local.get $k) (local.get $width)
          (local.get $s0) (local.get $s1))
        (local.set $a (i32.add (local.get $a) (local.get $lda)))
        (local.set $c (i32.add (local.get $c) (local.get $ldc)))
        (local.set $m (i32.sub (local.get $m) (i32.const 1)))
        (br $next))))

  ;; c[m, n] = bias + a[m, k] b[k, n]; bias is 0 or the address of n numbers.
  (func (export "gemm")
    (param $a i32) (param $lda i32) (param $b i32) (param $ldb i32) (param $step i32) (param $c i32) (param $ldc i32)
    (param $m i32) (param $n i32) (param $k i32) (param $bias i32)
    (local $i i32) (local $ai i32) (local $ci i32)
    ;; Few rows: all of them by 32 columns first.
    (if (i32.lt_s (local.get $m) (i32.const 4)) (then
      (block $wide
        (loop $next
          (br_if $wide (i32.lt_s (local.get $n) (i32.const 32)))
          (local.set $i (local.get $m)) (local.set $ai (local.get $a)) (local.set $ci (local.get $c))
          (loop $row
            (call $row32 (local.get $ai) (local.get $b) (local.get $ldb) (local.get $step) (local.get $ci)
              (local.get $k) (local.get $bias))
            (local.set $ai (i32.add (local.get $ai) (local.get $lda)))
            (local.set $ci (i32.add (local.get $ci) (local.get $ldc)))
            (br_if $row (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
          (local.set $b (i32.add (local.get $b) (i32.shl (local.get $step) (i32.const 2))))
          (local.set $c (i32.add (local.get $c) (i32.const 128)))
          (if (local.get $bias) (then (local.set $bias (i32.add (local.get $bias) (i32.const 128)))))
          (local.set $n (i32.sub (local.get $n) (i32.const 32)))
          (br $next)))))
    (block $done
      (loop $next
        (br_if $done (i32.le_s (local.get $n) (i32.const 0)))
        (call $panel (local.get $a) (local.get $lda) (local.get $b) (local.get $ldb) (local.get $c) (local.get $ldc)
          (local.get $m) (local.get $k) (call $min8 (local.get $n)) (local.get $bias))
        (local.set $b (i32.add (local.get $b) (local.get $step)))
        (local.set $c (i32.add (local.get $c) (i32.const 32)))
        (if (local.get $bias) (then (local.set $bias (i32.add (local.get $bias) (i32.const 32)))))
        (local.set $n (i32.sub (local.get $n) (i32.const 8)))
        (br $next))))

  ;; The sum of 4 lanes.
  (func $across (param $v v128) (result f32)
    (local.set $v (f32x4.add (local.get $v)
      (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $v) (local.get $v))))
    (f32.add (f32x4.extract_lane 0 (local.get $v)) (f32x4.extract_lane 1 (local.get $v))))

  ;; c[m, n] = a[m, k] b[n, k]^T: lines of both lie along k. Four partial sums, by k mod 4, then their sum.
  (func (export "gemm_nt")
    (param $a i32) (param $lda i32) (param $b i32) (param $ldb i32) (param $c i32) (param $ldc i32)
    (param $m i32) (param $n i32) (param $k i32)
    (local $j i32) (local $p i32) (local $bj i32) (local $cj i32) (local $x i32) (local $y i32)
    (local $sum v128) (local $tail f32)
    (block $done
      (loop $row
        (br_if $done (i32.eqz (local.get $m)))
        (local.set $j (local.get $n)) (local.set $bj (local.get $b)) (local.set $cj (local.get $c))
        (block $end
          (loop $column
            (br_if $end (i32.eqz (local.get $j)))
            (local.set $x (local.get $a)) (local.set $y (local.get $bj)) (local.set $p (local.get $k))
            (local.set $sum (v128.const f32x4 0 0 0 0)) (local.set $tail (f32.const 0))
            (block $rest
              (loop $four
                (br_if $rest (i32.lt_s (local.get $p) (i32.const 4)))
                (local.set $sum (f32x4.add (local.get $sum)
                  (f32x4.mul (v128.load (local.get $x)) (v128.load (local.get $y)))))
                (local.set $x (i32.add (local.get $x) (i32.const 16)))
                (local.set $y (i32.add (local.get $y) (i32.const 16)))
                (local.set $p (i32.sub (local.get $p) (i32.const 4)))
                (br $four)))
            (block $whole
              (loop $one
                (br_if $whole (i32.eqz (local.get $p)))
                (local.set $tail (f32.add (local.get $tail)
                  (f32.mul (f32.load (local.get $x)) (f32.load (local.get $y)))))
                (local.set $x (i32.add (local.get $x) (i32.const 4)))
                (local.set $y (i32.add (local.get $y) (i32.const 4)))
                (local.set $p (i32.sub (local.get $p) (i32.const 1)))
                (br $one)))
            (f32.store (local.get $cj) (f32.add (call $across (local.get $sum)) (local.get $tail)))
            (local.set $cj (i32.add (local.get $cj) (i32.const 4)))
            (local.set $bj (i32.add (local.get $bj) (local.get $ldb)))
            (local.set $j (i32.sub (local.get $j) (i32.const 1)))
            (br $column)))
        (local.set $a (i32.add (local.get $a) (local.get $lda)))
        (local.set $c (i32.add (local.get $c) (local.get $ldc)))
        (local.set $m (i32.sub (local.get $m) (i32.const 1)))
        (br $row))))

  ;; Codes stand for (code - zero) * scale, rounded as DequantizeLinear rounds. Rows of k share
  ;; scales and zeros in blocks of $block; those of a panel are 8 numbers a block, $stride bytes from block to block.

  ;; Unpacks a panel of 8-bit codes, k rows of 8, to f32.
  (func $unpack8
    (param $codes i32) (param $scales i32) (param $zeros i32) (param $stride i32) (param $block i32) (param $k i32)
    (param $to i32)
    (local $left i32) (local $s0 v128) (local $s1 v128) (local $z0 v128) (local $z1 v128) (local $x v128)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $k)))
        (local.set $s0 (v128.load (local.get $scales))) (local.set $s1 (v128.load offset=16 (local.get $scales)))
        (local.set $z0 (v128.load (local.get $zeros))) (local.set $z1 (v128.load offset=16 (local.get $zeros)))
        (local.set $scales (i32.add (local.get $scales) (local.get $stride)))
        (local.set $zeros (i32.add (local.get $zeros) (local.get $stride)))
        (local.set $left (select (local.get $block) (local.get $k) (i32.lt_s (local.get $block) (local.get $k))))
        (local.set $k (i32.sub (local.get $k) (local.get $left)))
        (loop $row
          (local.set $x (v128.load8x8_u (local.get $codes)))
          (v128.store (local.get $to)
            (f32x4.mul (f32x4.sub (f32x4.convert_i32x4_s (i32x4.extend_low_i16x8_u (local.get $x))) (local.get $z0)) (local.get $s0)))
          (v128.store offset=16 (local.get $to)
            (f32x4.mul (f32x4.sub (f32x4.convert_i32x4_s (i32x4.extend_high_i16x8_u (local.get $x))) (local.get $z1)) (local.get $s1)))
          (local.set $codes (i32.add (local.get $codes) (i32.const 8)))
          (local.set $to (i32.add (local.get $to) (i32.const 32)))
          (br_if $row (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (br $next))))

  ;; One row times a panel of 8-bit codes: the sums of $unpack8 and $row8, without the way through memory.
  (func $row8codes8
    (param $a i32)
    (param $codes i32) (param $scales i32) (param $zeros i32) (param $stride i32) (param $block i32) (param $k i32)
    (param $c i32) (param $width i32) (param $c0 v128) (param $c1 v128)
    (local $left i32) (local $s0 v128) (local $s1 v128) (local $z0 v128) (local $z1 v128) (local $x v128) (local $v v128)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $k)))
        (local.set $s0 (v128.load (local.get $scales))) (local.set $s1 (v128.load offset=16 (local.get $scales)))
        (local.set $z0 (v128.load (local.get $zeros))) (local.set $z1 (v128.load offset=16 (local.get $zeros)))
        (local.set $scales (i32.add (local.get $scales) (local.get $stride)))
        (local.set $zeros (i32.add (local.get $zeros) (local.get $stride)))
        (local.set $left (select (local.get $block) (local.get $k) (i32.lt_s (local.get $block) (local.get $k))))
        (local.set $k (i32.sub (local.get $k) (local.get $left)))
        (loop $row
          (local.set $x (v128.load8x8_u (local.get $codes)))
          (local.set $v (v128.load32_splat (local.get $a)))
          (local.set $c0 (f32x4.add (local.get $c0) (f32x4.mul (local.get $v)
            (f32x4.mul (f32x4.sub (f32x4.convert_i32x4_s (i32x4.extend_low_i16x8_u (local.get $x))) (local.get $z0)) (local.get $s0)))))
          (local.set $c1 (f32x4.add (local.get $c1) (f32x4.mul (local.get $v)
            (f32x4.mul (f32x4.sub (f32x4.convert_i32x4_s (i32x4.extend_high_i16x8_u (local.get $x))) (local.get $z1)) (local.get $s1)))))
          (local.set $codes (i32.add (local.get $codes) (i32.const 8)))
          (local.set $a (i32.add (local.get $a) (i32.const 4)))
          (br_if $row (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (br $next)))
    (call $store (local.get $c) (local.get $c0) (local.get $c1) (local.get $width)))

  ;; 4-bit codes: 8 bytes hold rows 2i (low halves) and 2i + 1 (high halves). Blocks are even; k may be odd: the row after the last
  ;; is written, too.
  (func $unpack4
    (param $codes i32) (param $scales i32) (param $zeros i32) (param $stride i32) (param $block i32) (param $k i32)
    (param $to i32)
    (local $left i32) (local $s0 v128) (local $s1 v128) (local $z0 v128) (local $z1 v128) (local $x v128) (local $y v128)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $k)))
        (local.set $s0 (v128.load (local.get $scales))) (local.set $s1 (v128.load offset=16 (local.get $scales)))
        (local.set $z0 (v128.load (local.get $zeros))) (local.set $z1 (v128.load offset=16 (local.get $zeros)))
        (local.set $scales (i32.add (local.get $scales) (local.get $stride)))
        (local.set $zeros (i32.add (local.get $zeros) (local.get $stride)))
        (local.set $left (select (local.get $block) (local.get $k) (i32.lt_s (local.get $block) (local.get $k))))
        (local.set $k (i32.sub (local.get $k) (local.get $left)))
        (loop $rows
          (local.set $y (v128.load8x8_u (local.get $codes)))
          (local.set $x (v128.and (local.get $y) (v128.const i16x8 15 15 15 15 15 15 15 15)))
          (v128.store (local.get $to)
            (f32x4.mul (f32x4.sub (f32x4.convert_i32x4_s (i32x4.extend_low_i16x8_u (local.get $x))) (local.get $z0)) (local.get $s0)))
          (v128.store offset=16 (local.get $to)
            (f32x4.mul (f32x4.sub (f32x4.convert_i32x4_s (i32x4.extend_high_i16x8_u (local.get $x))) (local.get $z1)) (local.get $s1)))
          (local.set $y (i16x8.shr_u (local.get $y) (i32.const 4)))
          (v128.store offset=32 (local.get $to)
            (f32x4.mul (f32x4.sub (f32x4.convert_i32x4_s (i32x4.extend_low_i16x8_u (local.get $y))) (local.get $z0)) (local.get $s0)))
          (v128.store offset=48 (local.get $to)
            (f32x4.mul (f32x4.sub (f32x4.convert_i32x4_s (i32x4.extend_high_i16x8_u (local.get $y))) (local.get $z1)) (local.get $s1)))
          (local.set $codes (i32.add (local.get $codes) (i32.const 8)))
          (local.set $to (i32.add (local.get $to) (i32.const 64)))
          (br_if $rows (i32.gt_s (local.tee $left (i32.sub (local.get $left) (i32.const 2))) (i32.const 0))))
        (br $next))))

  (func $row8codes4
    (param $a i32)
    (param $codes i32) (param $scales i32) (param $zeros i32) (param $stride i32) (param $block i32) (param $k i32)
    (param $c i32) (param $width i32) (param $c0 v128) (param $c1 v128)
    (local $left i32) (local $s0 v128) (local $s1 v128) (local $z0 v128) (local $z1 v128) (local $x v128) (local $y v128) (local $v v128)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $k)))
        (local.set $s0 (v128.load (local.get $scales))) (local.set $s1 (v128.load offset=16 (local.get $scales)))
        (local.set $z0 (v128.load (local.get $zeros))) (local.set $z1 (v128.load offset=16 (local.get $zeros)))
        (local.set $scales (i32.add (local.get $scales) (local.get $stride)))
        (local.set $zeros (i32.add (local.get $zeros) (local.get $stride)))
        (local.set $left (select (local.get $block) (local.get $k) (i32.lt_s (local.get $block) (local.get $k))))
        (local.set $k (i32.sub (local.get $k) (local.get $left)))
        (loop $rows
          (local.set $y (v128.load8x8_u (local.get $codes)))
          (local.set $x (v128.and (local.get $y) (v128.const i16x8 15 15 15 15 15 15 15 15)))
          (local.set $v (v128.load32_splat (local.get $a)))
          (local.set $c0 (f32x4.add (local.get $c0) (f32x4.mul (local.get $v)
            (f32x4.mul (f32x4.sub (f32x4.convert_i32x4_s (i32x4.extend_low_i16x8_u (local.get $x))) (local.get $z0)) (local.get $s0)))))
          (local.set $c1 (f32x4.add (local.get $c1) (f32x4.mul (local.get $v)
            (f32x4.mul (f32x4.sub (f32x4.convert_i32x4_s (i32x4.extend_high_i16x8_u (local.get $x))) (local.get $z1)) (local.get $s1)))))
          (if (i32.gt_s (local.get $left) (i32.const 1)) (then
          (local.set $y (i16x8.shr_u (local.get $y) (i32.const 4)))
          (local.set $v (v128.load32_splat offset=4 (local.get $a)))
          (local.set $c0 (f32x4.add (local.get $c0) (f32x4.mul (local.get $v)
            (f32x4.mul (f32x4.sub (f32x4.convert_i32x4_s (i32x4.extend_low_i16x8_u (local.get $y))) (local.get $z0)) (local.get $s0)))))
          (local.set $c1 (f32x4.add (local.get $c1) (f32x4.mul (local.get $v)
            (f32x4.mul (f32x4.sub (f32x4.convert_i32x4_s (i32x4.extend_high_i16x8_u (local.get $y))) (local.get $z1)) (local.get $s1)))))))
          (local.set $codes (i32.add (local.get $codes) (i32.const 8)))
          (local.set $a (i32.add (local.get $a) (i32.const 8)))
          (br_if $rows (i32.gt_s (local.tee $left (i32.sub (local.get $left) (i32.const 2))) (i32.const 0))))
        (br $next)))
    (call $store (local.get $c) (local.get $c0) (local.get $c1) (local.get $width)))

  ;; c = bias + a b, for b in codes of $bits (8 or 4): each panel is unpacked to $scratch (k + 1 rows of 8) and used from there,
  ;; or as it is read where there are few rows. Scales and zeros are f32, [blocks, $stride / 4].
  (func (export "gemm_codes")
    (param $a i32) (param $lda i32) (param $codes i32) (param $bits i32) (param $scales i32) (param $zeros i32)
    (param $stride i32) (param $block i32) (param $c i32) (param $ldc i32) (param $m i32) (param $n i32) (param $k i32)
    (param $bias i32) (param $scratch i32)
    (local $step i32) (local $i i32) (local $ai i32) (local $ci i32) (local $width i32) (local $s0 v128) (local $s1 v128)
    (local.set $step (i32.shl
      (select (local.get $k) (i32.shr_u (i32.add (local.get $k) (i32.const 1)) (i32.const 1))
        (i32.eq (local.get $bits) (i32.const 8)))
      (i32.const 3)))
    (block $done
      (loop $next
        (br_if $done (i32.le_s (local.get $n) (i32.const 0)))
        (local.set $width (call $min8 (local.get $n)))
        (if (i32.lt_s (local.get $m) (i32.const 4))
          (then
            (if (local.get $bias) (then
              (local.set $s0 (v128.load (local.get $bias)))
              (local.set $s1 (v128.load offset=16 (local.get $bias)))))
            (local.set $i (local.get $m)) (local.set $ai (local.get $a)) (local.set $ci (local.get $c))
            (block $end
              (loop $row
                (br_if $end (i32.eqz (local.get $i)))
                (if (i32.eq (local.get $bits) (i32.const 8))
                  (then (call $row8codes8 (local.get $ai) (local.get $codes) (local.get $scales) (local.get $zeros)
                    (local.get $stride) (local.get $block) (local.get $k) (local.get $ci) (local.get $width)
                    (local.get $s0) (local.get $s1)))
                  (else (call $row8codes4 (local.get $ai) (local.get $codes) (local.get $scales) (local.get $zeros)
                    (local.get $stride) (local.get $block) (local.get $k) (local.get $ci) (local.get $width)
                    (local.get $s0) (local.get $s1))))
                (local.set $ai (i32.add (local.get $ai) (local.get $lda)))
                (local.set $ci (i32.add (local.get $ci) (local.get $ldc)))
                (local.set $i (i32.sub (local.get $i) (i32.const 1)))
                (br $row))))
          (else
            (if (i32.eq (local.get $bits) (i32.const 8))
              (then (call $unpack8 (local.get $codes) (local.get $scales) (local.get $zeros) (local.get $stride)
                (local.get $block) (local.get $k) (local.get $scratch)))
              (else (call $unpack4 (local.get $codes) (local.get $scales) (local.get $zeros) (local.get $stride)
                (local.get $block) (local.get $k) (local.get $scratch))))
            (call $panel (local.get $a) (local.get $lda) (local.get $scratch) (i32.const 32) (local.get $c)
              (local.get $ldc) (local.get $m) (local.get $k) (local.get $width) (local.get $bias))))
        (local.set $codes (i32.add (local.get $codes) (local.get $step)))
        (local.set $scales (i32.add (local.get $scales) (i32.const 32)))
        (local.set $zeros (i32.add (local.get $zeros) (i32.const 32)))
        (local.set $c (i32.add (local.get $c) (i32.const 32)))
        (if (local.get $bias) (then (local.set $bias (i32.add (local.get $bias) (i32.const 32)))))
        (local.set $n (i32.sub (local.get $n) (i32.const 8)))
        (br $next))))

  ;; 4 rows by 8 columns of i32, from pairs of i16 along k: $k counts pairs.
  (func $itile4
    (param $a i32) (param $lda i32) (param $b i32) (param $ldb i32) (param $c i32) (param $ldc i32)
    (param $k i32) (param $width i32)
    (local $a1 i32) (local $a2 i32) (local $a3 i32) (local $x v128) (local $b0 v128) (local $b1 v128)
    (local $c00 v128) (local $c01 v128) (local $c10 v128) (local $c11 v128)
    (local $c20 v128) (local $c21 v128) (local $c30 v128) (local $c31 v128)
    (local.set $a1 (i32.add (local.get $a) (local.get $lda)))
    (local.set $a2 (i32.add (local.get $a1) (local.get $lda)))
    (local.set $a3 (i32.add (local.get $a2) (local.get $lda)))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $k)))
        (local.set $b0 (v128.load (local.get $b)))
        (local.set $b1 (v128.load offset=16 (local.get $b)))
        (local.set $x (v128.load32_splat (local.get $a)))
        (local.set $c00 (i32x4.add (local.get $c00) (i32x4.dot_i16x8_s (local.get $x) (local.get $b0))))
        (local.set $c01 (i32x4.add (local.get $c01) (i32x4.dot_i16x8_s (local.get $x) (local.get $b1))))
        (local.set $x (v128.load32_splat (local.get $a1)))
        (local.set $c10 (i32x4.add (local.get $c10) (i32x4.dot_i16x8_s (local.get $x) (local.get $b0))))
        (local.set $c11 (i32x4.add (local.get $c11) (i32x4.dot_i16x8_s (local.get $x) (local.get $b1))))
        (local.set $x (v128.load32_splat (local.get $a2)))
        (local.set $c20 (i32x4.add (local.get $c20) (i32x4.dot_i16x8_s (local.get $x) (local.get $b0))))
        (local.set $c21 (i32x4.add (local.get $c21) (i32x4.dot_i16x8_s (local.get $x) (local.get $b1))))
        (local.set $x (v128.load32_splat (local.get $a3)))
        (local.set $c30 (i32x4.add (local.get $c30) (i32x4.dot_i16x8_s (local.get $x) (local.get $b0))))
        (local.set $c31 (i32x4.add (local.get $c31) (i32x4.dot_i16x8_s (local.get $x) (local.get $b1))))
        (local.set $a (i32.add (local.get $a) (i32.const 4)))
        (local.set $a1 (i32.add (local.get $a1) (i32.const 4)))
        (local.set $a2 (i32.add (local.get $a2) (i32.const 4)))
        (local.set $a3 (i32.add (local.get $a3) (i32.const 4)))
        (local.set $b (i32.add (local.get $b) (local.get $ldb)))
        (local.set $k (i32.sub (local.get $k) (i32.const 1)))
        (br $next)))
    (if (i32.eq (local.get $width) (i32.const 8)) (then
      (v128.store (local.get $c) (local.get $c00)) (v128.store offset=16 (local.get $c) (local.get $c01))
      (local.set $c (i32.add (local.get $c) (local.get $ldc)))
      (v128.store (local.get $c) (local.get $c10)) (v128.store offset=16 (local.get $c) (local.get $c11))
      (local.set $c (i32.add (local.get $c) (local.get $ldc)))
      (v128.store (local.get $c) (local.get $c20)) (v128.store offset=16 (local.get $c) (local.get $c21))
      (local.set $c (i32.add (local.get $c) (local.get $ldc)))
      (v128.store (local.get $c) (local.get $c30)) (v128.store offset=16 (local.get $c) (local.get $c31))
      (return)))
    (call $store (local.get $c) (local.get $c00) (local.get $c01) (local.get $width))
    (local.set $c (i32.add (local.get $c) (local.get $ldc)))
    (call $store (local.get $c) (local.get $c10) (local.get $c11) (local.get $width))
    (local.set $c (i32.add (local.get $c) (local.get $ldc)))
    (call $store (local.get $c) (local.get $c20) (local.get $c21) (local.get $width))
    (local.set $c (i32.add (local.get $c) (local.get $ldc)))
    (call $store (local.get $c) (local.get $c30) (local.get $c31) (local.get $width)))

  ;; One row by 8 columns of i32.
  (func $irow8
    (param $a i32) (param $b i32) (param $c i32) (param $k i32) (param $width i32)
    (local $x v128) (local $c0 v128) (local $c1 v128)
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $k)))
        (local.set $x (v128.load32_splat (local.get $a)))
        (local.set $c0 (i32x4.add (local.get $c0) (i32x4.dot_i16x8_s (local.get $x) (v128.load (local.get $b)))))
        (local.set $c1 (i32x4.add (local.get $c1) (i32x4.dot_i16x8_s (local.get $x) (v128.load offset=16 (local.get $b)))))
        (local.set $a (i32.add (local.get $a) (i32.const 4)))
        (local.set $b (i32.add (local.get $b) (i32.const 32)))
        (local.set $k (i32.sub (local.get $k) (i32.const 1)))
        (br $next)))
    (call $store (local.get $c) (local.get $c0) (local.get $c1) (local.get $width)))

  ;; c[m, n] = a[m, k] b[k, n], exact to 32 bits. a has rows of $pairs pairs of i16; a panel of b is $pairs rows of 8 pairs.
  (func (export "gemm_i16")
    (param $a i32) (param $b i32) (param $c i32) (param $m i32) (param $n i32) (param $pairs i32)
    (local $lda i32) (local $ldc i32) (local $i i32) (local $ai i32) (local $ci i32) (local $width i32)
    (local.set $lda (i32.shl (local.get $pairs) (i32.const 2)))
    (local.set $ldc (i32.shl (local.get $n) (i32.const 2)))
    (block $done
      (loop $next
        (br_if $done (i32.le_s (local.get $n) (i32.const 0)))
        (local.set $width (call $min8 (local.get $n)))
        (local.set $i (local.get $m)) (local.set $ai (local.get $a)) (local.set $ci (local.get $c))
        (block $rest
          (loop $four
            (br_if $rest (i32.lt_s (local.get $i) (i32.const 4)))
            (call $itile4 (local.get $ai) (local.get $lda) (local.get $b) (i32.const 32) (local.get $ci) (local.get $ldc)
              (local.get $pairs) (local.get $width))
            (local.set $ai (i32.add (local.get $ai) (i32.shl (local.get $lda) (i32.const 2))))
            (local.set $ci (i32.add (local.get $ci) (i32.shl (local.get $ldc) (i32.const 2))))
            (local.set $i (i32.sub (local.get $i) (i32.const 4)))
            (br $four)))
        (block $end
          (loop $one
            (br_if $end (i32.eqz (local.get $i)))
            (call $irow8 (local.get $ai) (local.get $b) (local.get $ci) (local.get $pairs) (local.get $width))
            (local.set $ai (i32.add (local.get $ai) (local.get $lda)))
            (local.set $ci (i32.add (local.get $ci) (local.get $ldc)))
            (local.set $i (i32.sub (local.get $i) (i32.const 1)))
            (br $one)))
        (local.set $b (i32.add (local.get $b) (i32.shl (local.get $pairs) (i32.const 5))))
        (local.set $c (i32.add (local.get $c) (i32.const 32)))
        (local.set $n (i32.sub (local.get $n) (i32.const 8)))
        (br $next))))

  ;; A panel of B from lines along k: out[p, j] = b[j, p] for p < k and 8 lines from $b, $ldb apart; lines beyond $width are zero.
  (func $turn (param $b i32) (param $ldb i32) (param $width i32) (param $k i32) (param $to i32)
    (local $j i32) (local $p i32) (local $from i32) (local $at i32)
    (block $done
      (loop $line
        (br_if $done (i32.eq (local.get $j) (i32.const 8)))
        (local.set $p (local.get $k)) (local.set $from (local.get $b))
        (local.set $at (i32.add (local.get $to) (i32.shl (local.get $j) (i32.const 2))))
        (block $end
          (loop $next
            (br_if $end (i32.eqz (local.get $p)))
            (f32.store (local.get $at)
              (if (result f32) (i32.lt_s (local.get $j) (local.get $width))
                (then (f32.load (local.get $from))) (else (f32.const 0))))
            (local.set $from (i32.add (local.get $from) (i32.const 4)))
            (local.set $at (i32.add (local.get $at) (i32.const 32)))
            (local.set $p (i32.sub (local.get $p) (i32.const 1)))
            (br $next)))
        (local.set $b (i32.add (local.get $b) (local.get $ldb)))
        (local.set $j (i32.add (local.get $j) (i32.const 1)))
        (br $line))))

  ;; Packs b[n, k] (lines along k) into panels of b^T[k, n].
  (func (export "pack_nt") (param $b i32) (param $ldb i32) (param $n i32) (param $k i32) (param $to i32)
    (block $done
      (loop $next
        (br_if $done (i32.le_s (local.get $n) (i32.const 0)))
        (call $turn (local.get $b) (local.get $ldb) (call $min8 (local.get $n)) (local.get $k) (local.get $to))
        (local.set $b (i32.add (local.get $b) (i32.shl (local.get $ldb) (i32.const 3))))
        (local.set $to (i32.add (local.get $to) (i32.shl (local.get $k) (i32.const 5))))
        (local.set $n (i32.sub (local.get $n) (i32.const 8)))
        (br $next)))))
