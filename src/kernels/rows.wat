;; SIMD kernels over rows of f32: copies, arithmetic, sums, activations, softmax. Addresses are in bytes; a row is $length elements.
;; Tables hold the address of each row. One operation gives the bits of f32 arithmetic; e^x is the nearest f32 or its neighbour, or
;; two away, and 0 where it is below 2^-125.5 or so.
(module
  (import "wafc" "memory" (memory 1 65536 shared))

  ;; e^x of four f64 as f32. x = n ln 2 + r in f64 (adding 1.5 2^52 rounds, and leaves n in the low bits), a Taylor polynomial of degree
  ;; 7 in |r| <= 0.35 (its remainder is r^8 / 8! < 5.3e-9) in f32, then 2^n in two factors, of which none overflows too
  ;; early. Below 2^-126 is 0: numbers that small take a hundred cycles each. pmin and pmax let NaN through. Written out,
  ;; because a call costs as much as a dozen operations.
  (func $exp (param $a v128) (param $b v128) (result v128)
    (local $na v128) (local $nb v128) (local $n v128) (local $half v128) (local $kept v128)
    (local $r v128) (local $r2 v128) (local $r4 v128)
    (local.set $a (f64x2.pmin (f64x2.pmax (local.get $a) (v128.const f64x2 -104 -104)) (v128.const f64x2 89 89)))
    (local.set $na (f64x2.add (f64x2.mul (local.get $a) (v128.const f64x2 1.4426950408889634 1.4426950408889634)) (v128.const f64x2 6755399441055744 6755399441055744)))
    (local.set $a (f64x2.sub (local.get $a)
      (f64x2.mul (f64x2.sub (local.get $na) (v128.const f64x2 6755399441055744 6755399441055744)) (v128.const f64x2 0.6931471805599453 0.6931471805599453))))
    (local.set $b (f64x2.pmin (f64x2.pmax (local.get $b) (v128.const f64x2 -104 -104)) (v128.const f64x2 89 89)))
    (local.set $nb (f64x2.add (f64x2.mul (local.get $b) (v128.const f64x2 1.4426950408889634 1.4426950408889634)) (v128.const f64x2 6755399441055744 6755399441055744)))
    (local.set $b (f64x2.sub (local.get $b)
      (f64x2.mul (f64x2.sub (local.get $nb) (v128.const f64x2 6755399441055744 6755399441055744)) (v128.const f64x2 0.6931471805599453 0.6931471805599453))))
    (local.set $n (i8x16.shuffle 0 1 2 3 8 9 10 11 16 17 18 19 24 25 26 27 (local.get $na) (local.get $nb)))
    (local.set $kept (i32x4.gt_s (local.get $n) (v128.const i32x4 -126 -126 -126 -126)))
    (local.set $n (i32x4.max_s (local.get $n) (v128.const i32x4 -125 -125 -125 -125)))
    (local.set $half (i32x4.shr_s (local.get $n) (i32.const 1)))
    (local.set $r (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
      (f32x4.demote_f64x2_zero (local.get $a)) (f32x4.demote_f64x2_zero (local.get $b))))
    (local.set $r2 (f32x4.mul (local.get $r) (local.get $r)))
    (local.set $r4 (f32x4.mul (local.get $r2) (local.get $r2)))
    (v128.and (local.get $kept) (f32x4.mul
      (f32x4.mul
        (f32x4.add
          (f32x4.add
            (f32x4.add (f32x4.mul (local.get $r) (v128.const f32x4 1.0 1.0 1.0 1.0))
              (v128.const f32x4 1.0 1.0 1.0 1.0))
            (f32x4.mul (local.get $r2) (f32x4.add (f32x4.mul (local.get $r) (v128.const f32x4 0.16666666666666666 0.16666666666666666 0.16666666666666666 0.16666666666666666))
              (v128.const f32x4 0.5 0.5 0.5 0.5))))
          (f32x4.mul (local.get $r4) (f32x4.add
            (f32x4.add (f32x4.mul (local.get $r) (v128.const f32x4 0.008333333333333333 0.008333333333333333 0.008333333333333333 0.008333333333333333))
              (v128.const f32x4 0.041666666666666664 0.041666666666666664 0.041666666666666664 0.041666666666666664))
            (f32x4.mul (local.get $r2) (f32x4.add (f32x4.mul (local.get $r) (v128.const f32x4 0.0001984126984126984 0.0001984126984126984 0.0001984126984126984 0.0001984126984126984))
              (v128.const f32x4 0.001388888888888889 0.001388888888888889 0.001388888888888889 0.001388888888888889))))))
        ;; 2^n has n + 127 for an exponent.
        (i32x4.shl (i32x4.add (local.get $half) (v128.const i32x4 127 127 127 127)) (i32.const 23)))
      (i32x4.shl (i32x4.add (i32x4.sub (local.get $n) (local.get $half)) (v128.const i32x4 127 127 127 127)) (i32.const 23)))))

  ;; 0: e^x, 1: 1 / (1 + e^-x), 2: x / (1 + e^-x)
  (func $function (param $op i32) (param $x v128) (result v128)
    (local $e v128)
    (if (i32.eqz (local.get $op)) (then
      (return (call $exp (f64x2.promote_low_f32x4 (local.get $x)) (f64x2.promote_low_f32x4
          (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $x) (local.get $x)))))))
    (local.set $e (f32x4.neg (local.get $x)))
    (local.set $e (f32x4.div (v128.const f32x4 1 1 1 1) (f32x4.add (v128.const f32x4 1 1 1 1)
      (call $exp (f64x2.promote_low_f32x4 (local.get $e)) (f64x2.promote_low_f32x4
          (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $e) (local.get $e)))))))
    (if (result v128) (i32.eq (local.get $op) (i32.const 1))
      (then (local.get $e)) (else (f32x4.mul (local.get $x) (local.get $e)))))

  ;; out = f(x), see $function; both dense.
  (func (export "map") (param $op i32) (param $out i32) (param $x i32) (param $n i32)
    (block $rest
      (loop $next
        (br_if $rest (i32.lt_s (local.get $n) (i32.const 4)))
        (v128.store (local.get $out) (call $function (local.get $op) (v128.load (local.get $x))))
        (local.set $x (i32.add (local.get $x) (i32.const 16)))
        (local.set $out (i32.add (local.get $out) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 4)))
        (br $next)))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $n)))
        (v128.store32_lane 0 (local.get $out) (call $function (local.get $op) (v128.load32_zero (local.get $x))))
        (local.set $x (i32.add (local.get $x) (i32.const 4)))
        (local.set $out (i32.add (local.get $out) (i32.const 4)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $next))))

  ;; Rows of out = x op y, op 0: +, 1: -, 2: *, 3: /. One element of x serves the whole row where $xstep is 0; the same for y.
  (func (export "binary")
    (param $op i32) (param $outs i32) (param $rows i32) (param $length i32)
    (param $xs i32) (param $xstep i32) (param $ys i32) (param $ystep i32)
    (local $n i32) (local $out i32) (local $a i32) (local $b i32) (local $x v128) (local $y v128)
    (block $done
      (loop $row
        (br_if $done (i32.eqz (local.get $rows)))
        (local.set $out (i32.load (local.get $outs)))
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
        (local.set $outs (i32.add (local.get $outs) (i32.const 4)))
        (local.set $xs (i32.add (local.get $xs) (i32.const 4)))
        (local.set $ys (i32.add (local.get $ys) (i32.const 4)))
        (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
        (br $row))))

  ;; Copies rows of 32-bit elements that lie without gaps.
  (func (export "copy") (param $outs i32) (param $xs i32) (param $rows i32) (param $length i32)
    (local $n i32) (local $out i32) (local $a i32)
    (block $done
      (loop $row
        (br_if $done (i32.eqz (local.get $rows)))
        (local.set $out (i32.load (local.get $outs)))
        (local.set $a (i32.load (local.get $xs)))
        (local.set $n (local.get $length))
        (block $rest
          (loop $next
            (br_if $rest (i32.lt_s (local.get $n) (i32.const 4)))
            (v128.store (local.get $out) (v128.load (local.get $a)))
            (local.set $a (i32.add (local.get $a) (i32.const 16)))
            (local.set $out (i32.add (local.get $out) (i32.const 16)))
            (local.set $n (i32.sub (local.get $n) (i32.const 4)))
            (br $next)))
        (block $end
          (loop $one
            (br_if $end (i32.eqz (local.get $n)))
            (i32.store (local.get $out) (i32.load (local.get $a)))
            (local.set $a (i32.add (local.get $a) (i32.const 4)))
            (local.set $out (i32.add (local.get $out) (i32.const 4)))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br $one)))
        (local.set $outs (i32.add (local.get $outs) (i32.const 4)))
        (local.set $xs (i32.add (local.get $xs) (i32.const 4)))
        (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
        (br $row))))

  ;; out[r] = the sum of row r, in f64, over $by; rows are dense.
  (func (export "sums") (param $out i32) (param $x i32) (param $rows i32) (param $length i32) (param $by f64)
    (local $n i32) (local $sum v128)
    (block $done
      (loop $row
        (br_if $done (i32.eqz (local.get $rows)))
        (local.set $sum (v128.const f64x2 0 0))
        (local.set $n (local.get $length))
        (block $rest
          (loop $next
            (br_if $rest (i32.lt_s (local.get $n) (i32.const 2)))
            (local.set $sum (f64x2.add (local.get $sum) (f64x2.promote_low_f32x4 (v128.load64_zero (local.get $x)))))
            (local.set $x (i32.add (local.get $x) (i32.const 8)))
            (local.set $n (i32.sub (local.get $n) (i32.const 2)))
            (br $next)))
        (if (local.get $n) (then
          (local.set $sum (f64x2.add (local.get $sum) (f64x2.promote_low_f32x4 (v128.load32_zero (local.get $x)))))
          (local.set $x (i32.add (local.get $x) (i32.const 4)))))
        (f32.store (local.get $out) (f32.demote_f64 (f64.div
          (f64.add (f64x2.extract_lane 0 (local.get $sum)) (f64x2.extract_lane 1 (local.get $sum))) (local.get $by))))
        (local.set $out (i32.add (local.get $out) (i32.const 4)))
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
    (local $m v128) (local $v v128) (local $sum v128)
    (local.set $m (f64x2.splat (local.get $max)))
    (block $rest
      (loop $next
        (br_if $rest (i32.lt_s (local.get $n) (i32.const 4)))
        (local.set $v (v128.load (local.get $x)))
        (local.set $v (call $exp
          (f64x2.sub (f64x2.promote_low_f32x4 (local.get $v)) (local.get $m))
          (f64x2.sub (f64x2.promote_low_f32x4
          (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $v) (local.get $v))) (local.get $m))))
        (local.set $sum (f64x2.add (local.get $sum)
          (f64x2.add (f64x2.promote_low_f32x4 (local.get $v)) (f64x2.promote_low_f32x4
          (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $v) (local.get $v))))))
        (v128.store (local.get $out) (local.get $v))
        (local.set $x (i32.add (local.get $x) (i32.const 16)))
        (local.set $out (i32.add (local.get $out) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 4)))
        (br $next)))
    (block $done
      (loop $one
        (br_if $done (i32.eqz (local.get $n)))
        (local.set $v (f64x2.sub (f64x2.promote_low_f32x4 (v128.load32_splat (local.get $x))) (local.get $m)))
        (local.set $v (call $exp (local.get $v) (local.get $v)))
        (local.set $sum (f64x2.replace_lane 0 (local.get $sum)
          (f64.add (f64x2.extract_lane 0 (local.get $sum)) (f64.promote_f32 (f32x4.extract_lane 0 (local.get $v))))))
        (v128.store32_lane 0 (local.get $out) (local.get $v))
        (local.set $x (i32.add (local.get $x) (i32.const 4)))
        (local.set $out (i32.add (local.get $out) (i32.const 4)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $one)))
    (f64.add (f64x2.extract_lane 0 (local.get $sum)) (f64x2.extract_lane 1 (local.get $sum))))

  ;; x = x factor
  (func $scale (param $x i32) (param $n i32) (param $factor f32)
    (local $f v128)
    (local.set $f (f32x4.splat (local.get $factor)))
    (block $rest
      (loop $next
        (br_if $rest (i32.lt_s (local.get $n) (i32.const 4)))
        (v128.store (local.get $x) (f32x4.mul (v128.load (local.get $x)) (local.get $f)))
        (local.set $x (i32.add (local.get $x) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 4)))
        (br $next)))
    (block $done
      (loop $one
        (br_if $done (i32.eqz (local.get $n)))
        (f32.store (local.get $x) (f32.mul (f32.load (local.get $x)) (local.get $factor)))
        (local.set $x (i32.add (local.get $x) (i32.const 4)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $one))))

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
        (call $scale (local.get $out) (local.get $length) (f32.demote_f64 (f64.div (f64.const 1) (local.get $sum))))
        (local.set $x (i32.add (local.get $x) (local.get $bytes)))
        (local.set $out (i32.add (local.get $out) (local.get $bytes)))
        (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
        (br $row)))))
