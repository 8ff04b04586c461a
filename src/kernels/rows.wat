;; SIMD kernels over rows of f32: arithmetic, activations, softmax. Addresses are in bytes; a row is $length elements. Operand tables
;; hold the address of each row; results are dense. One operation gives the bits of f32 arithmetic; functions are computed in
;; f64, to 2e-10, and rounded once.
(module
  (import "wafc" "memory" (memory 1 65536 shared))

  ;; e^x of two lanes for |x| <= 708, and of the nearest such x beyond: f32 holds 0 or infinity there. x = n ln 2 + r, then a Taylor polynomial of degree 8 in
  ;; |r| <= 0.35 (its remainder is r^9 / 9! < 2.1e-10), then n goes into the exponent. pmin and pmax let NaN through.
  (func $exp (param $x v128) (result v128)
    (local $n v128) (local $r v128) (local $r2 v128) (local $r4 v128)
    (local.set $x (f64x2.pmin (f64x2.pmax (local.get $x) (v128.const f64x2 -708 -708)) (v128.const f64x2 708 708)))
    (local.set $n (f64x2.nearest (f64x2.mul (local.get $x)
      (v128.const f64x2 1.4426950408889634 1.4426950408889634))))
    (local.set $r (f64x2.sub (local.get $x) (f64x2.mul (local.get $n)
      (v128.const f64x2 0.6931471805599453 0.6931471805599453))))
    (local.set $r2 (f64x2.mul (local.get $r) (local.get $r)))
    (local.set $r4 (f64x2.mul (local.get $r2) (local.get $r2)))
    (i64x2.add
      (f64x2.add
        (f64x2.add
          (f64x2.add (f64x2.mul (local.get $r) (v128.const f64x2 1.0 1.0)) (v128.const f64x2 1.0 1.0))
          (f64x2.mul (local.get $r2)
            (f64x2.add (f64x2.mul (local.get $r) (v128.const f64x2 0.16666666666666666 0.16666666666666666)) (v128.const f64x2 0.5 0.5))))
        (f64x2.mul (local.get $r4)
          (f64x2.add
            (f64x2.add
              (f64x2.add (f64x2.mul (local.get $r) (v128.const f64x2 0.008333333333333333 0.008333333333333333)) (v128.const f64x2 0.041666666666666664 0.041666666666666664))
              (f64x2.mul (local.get $r2)
                (f64x2.add (f64x2.mul (local.get $r) (v128.const f64x2 0.0001984126984126984 0.0001984126984126984)) (v128.const f64x2 0.001388888888888889 0.001388888888888889))))
            (f64x2.mul (local.get $r4) (v128.const f64x2 2.48015873015873e-05 2.48015873015873e-05)))))
      ;; n + 1.5 2^52 has n in its low bits.
      (i64x2.shl
        (f64x2.add (local.get $n) (v128.const f64x2 6755399441055744 6755399441055744)) (i32.const 52))))

  ;; 1 / (1 + e^-x); 0 below -708, so that an infinity times it is NaN, as written out.
  (func $sigmoid (param $x v128) (result v128)
    (f64x2.div (v128.const f64x2 1 1) (f64x2.add (v128.const f64x2 1 1)
      (v128.bitselect (v128.const f64x2 inf inf) (call $exp (f64x2.neg (local.get $x)))
        (f64x2.lt (local.get $x) (v128.const f64x2 -708 -708))))))

  ;; 0: e^x, 1: sigmoid, 2: x sigmoid(x), 3: gelu by tanh, as x sigmoid(2 u)
  (func $function (param $op i32) (param $x v128) (result v128)
    (if (i32.eqz (local.get $op)) (then (return (call $exp (local.get $x)))))
    (if (i32.eq (local.get $op) (i32.const 1)) (then (return (call $sigmoid (local.get $x)))))
    (if (i32.eq (local.get $op) (i32.const 2)) (then
      (return (f64x2.mul (local.get $x) (call $sigmoid (local.get $x))))))
    ;; 2 sqrt(2 / pi) (x + 0.044715 x^3)
    (f64x2.mul (local.get $x) (call $sigmoid (f64x2.mul
      (f64x2.mul (local.get $x) (v128.const f64x2 1.5957691216057308 1.5957691216057308))
      (f64x2.add (v128.const f64x2 1 1) (f64x2.mul (v128.const f64x2 0.044715 0.044715)
        (f64x2.mul (local.get $x) (local.get $x))))))))

  ;; The same of four lanes of f32.
  (func $four (param $op i32) (param $x v128) (result v128)
    (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
      (f32x4.demote_f64x2_zero (call $function (local.get $op) (f64x2.promote_low_f32x4 (local.get $x))))
      (f32x4.demote_f64x2_zero (call $function (local.get $op) (f64x2.promote_low_f32x4
        (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $x) (local.get $x)))))))

  ;; out = f(x), see $function; x is dense, too.
  (func (export "map") (param $op i32) (param $out i32) (param $x i32) (param $n i32)
    (block $rest
      (loop $next
        (br_if $rest (i32.lt_s (local.get $n) (i32.const 4)))
        (v128.store (local.get $out) (call $four (local.get $op) (v128.load (local.get $x))))
        (local.set $x (i32.add (local.get $x) (i32.const 16)))
        (local.set $out (i32.add (local.get $out) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 4)))
        (br $next)))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $n)))
        (v128.store32_lane 0 (local.get $out) (call $four (local.get $op) (v128.load32_zero (local.get $x))))
        (local.set $x (i32.add (local.get $x) (i32.const 4)))
        (local.set $out (i32.add (local.get $out) (i32.const 4)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $next))))

  ;; out = x op y, op 0: +, 1: -, 2: *, 3: /. Row r of x is at the address in $xs[r], or one element for the whole row where
  ;; $xstep is 0; the same for y.
  (func (export "binary")
    (param $op i32) (param $out i32) (param $rows i32) (param $length i32)
    (param $xs i32) (param $xstep i32) (param $ys i32) (param $ystep i32)
    (local $n i32) (local $a i32) (local $b i32) (local $x v128) (local $y v128)
    (block $done
      (loop $row
        (br_if $done (i32.eqz (local.get $rows)))
        (local.set $a (i32.load (local.get $xs)))
        (local.set $b (i32.load (local.get $ys)))
        (local.set $x (v128.load32_splat (local.get $a)))
        (local.set $y (v128.load32_splat (local.get $b)))
        (local.set $n (local.get $length))
        (block $rest
          (loop $next
            (br_if $rest (i32.lt_s (local.get $n) (i32.const 4)))
            (if (local.get $xstep) (then
              (local.set $x (v128.load (local.get $a)))
              (local.set $a (i32.add (local.get $a) (i32.const 16)))))
            (if (local.get $ystep) (then
              (local.set $y (v128.load (local.get $b)))
              (local.set $b (i32.add (local.get $b) (i32.const 16)))))
            (v128.store (local.get $out)
              (if (result v128) (i32.lt_u (local.get $op) (i32.const 2))
            (then (if (result v128) (local.get $op)
              (then (f32x4.sub (local.get $x) (local.get $y))) (else (f32x4.add (local.get $x) (local.get $y)))))
            (else (if (result v128) (i32.eq (local.get $op) (i32.const 2))
              (then (f32x4.mul (local.get $x) (local.get $y))) (else (f32x4.div (local.get $x) (local.get $y)))))))
            (local.set $out (i32.add (local.get $out) (i32.const 16)))
            (local.set $n (i32.sub (local.get $n) (i32.const 4)))
            (br $next)))
        (block $end
          (loop $one
            (br_if $end (i32.eqz (local.get $n)))
            (if (local.get $xstep) (then
              (local.set $x (v128.load32_zero (local.get $a)))
              (local.set $a (i32.add (local.get $a) (i32.const 4)))))
            (if (local.get $ystep) (then
              (local.set $y (v128.load32_zero (local.get $b)))
              (local.set $b (i32.add (local.get $b) (i32.const 4)))))
            (v128.store32_lane 0 (local.get $out)
              (if (result v128) (i32.lt_u (local.get $op) (i32.const 2))
            (then (if (result v128) (local.get $op)
              (then (f32x4.sub (local.get $x) (local.get $y))) (else (f32x4.add (local.get $x) (local.get $y)))))
            (else (if (result v128) (i32.eq (local.get $op) (i32.const 2))
              (then (f32x4.mul (local.get $x) (local.get $y))) (else (f32x4.div (local.get $x) (local.get $y)))))))
            (local.set $out (i32.add (local.get $out) (i32.const 4)))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br $one)))
        (local.set $xs (i32.add (local.get $xs) (i32.const 4)))
        (local.set $ys (i32.add (local.get $ys) (i32.const 4)))
        (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
        (br $row))))

  ;; The largest of a row; NaN where there is one.
  (func $largest (param $x i32) (param $n i32) (result f32)
    (local $max v128)
    (local.set $max (f32x4.splat (f32.const -inf)))
    (block $rest
      (loop $next
        (br_if $rest (i32.lt_s (local.get $n) (i32.const 4)))
        (local.set $max (f32x4.max (local.get $max) (v128.load (local.get $x))))
        (local.set $x (i32.add (local.get $x) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 4)))
        (br $next)))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $n)))
        (local.set $max (f32x4.max (local.get $max) (v128.load32_splat (local.get $x))))
        (local.set $x (i32.add (local.get $x) (i32.const 4)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $next)))
    (f32.max
      (f32.max (f32x4.extract_lane 0 (local.get $max)) (f32x4.extract_lane 1 (local.get $max)))
      (f32.max (f32x4.extract_lane 2 (local.get $max)) (f32x4.extract_lane 3 (local.get $max)))))

  ;; out = e^(x - max), and the sum of it in f64.
  (func $exponentials (param $out i32) (param $x i32) (param $n i32) (param $max f64) (result f64)
    (local $m v128) (local $e v128) (local $sum v128)
    (local.set $m (f64x2.splat (local.get $max)))
    (block $rest
      (loop $next
        (br_if $rest (i32.lt_s (local.get $n) (i32.const 2)))
        (local.set $e (call $exp
          (f64x2.sub (f64x2.promote_low_f32x4 (v128.load64_zero (local.get $x))) (local.get $m))))
        (local.set $sum (f64x2.add (local.get $sum) (local.get $e)))
        (v128.store64_lane 0 (local.get $out) (f32x4.demote_f64x2_zero (local.get $e)))
        (local.set $x (i32.add (local.get $x) (i32.const 8)))
        (local.set $out (i32.add (local.get $out) (i32.const 8)))
        (local.set $n (i32.sub (local.get $n) (i32.const 2)))
        (br $next)))
    (if (local.get $n) (then
      (local.set $e (call $exp
        (f64x2.sub (f64x2.promote_low_f32x4 (v128.load32_zero (local.get $x))) (local.get $m))))
      (local.set $e (f64x2.replace_lane 1 (local.get $e) (f64.const 0)))
      (local.set $sum (f64x2.add (local.get $sum) (local.get $e)))
      (v128.store32_lane 0 (local.get $out) (f32x4.demote_f64x2_zero (local.get $e)))))
    (f64.add (f64x2.extract_lane 0 (local.get $sum)) (f64x2.extract_lane 1 (local.get $sum))))

  ;; out = x factor, in f64.
  (func $scale (param $x i32) (param $n i32) (param $factor f64)
    (local $f v128)
    (local.set $f (f64x2.splat (local.get $factor)))
    (block $rest
      (loop $next
        (br_if $rest (i32.lt_s (local.get $n) (i32.const 2)))
        (v128.store64_lane 0 (local.get $x) (f32x4.demote_f64x2_zero
          (f64x2.mul (f64x2.promote_low_f32x4 (v128.load64_zero (local.get $x))) (local.get $f))))
        (local.set $x (i32.add (local.get $x) (i32.const 8)))
        (local.set $n (i32.sub (local.get $n) (i32.const 2)))
        (br $next)))
    (if (local.get $n) (then
      (f32.store (local.get $x) (f32.demote_f64
        (f64.mul (f64.promote_f32 (f32.load (local.get $x))) (local.get $factor)))))))

  ;; Softmax of dense rows. A row of -infinity alone gives NaN, as the formula does.
  (func (export "softmax") (param $out i32) (param $x i32) (param $rows i32) (param $length i32)
    (local $max f32) (local $sum f64) (local $bytes i32)
    (local.set $bytes (i32.shl (local.get $length) (i32.const 2)))
    (block $done
      (loop $row
        (br_if $done (i32.eqz (local.get $rows)))
        (local.set $max (call $largest (local.get $x) (local.get $length)))
        (local.set $sum (call $exponentials (local.get $out) (local.get $x) (local.get $length)
          (f64.promote_f32 (local.get $max))))
        (call $scale (local.get $out) (local.get $length) (f64.div (f64.const 1) (local.get $sum)))
        (local.set $x (i32.add (local.get $x) (local.get $bytes)))
        (local.set $out (i32.add (local.get $out) (local.get $bytes)))
        (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
        (br $row)))))
