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

  ;; e^x in f64, to some 1e-14: as above, with a Taylor polynomial of degree 11 (its remainder is r^12 / 12! < 7e-15) and 2^n added to
  ;; the exponent.
  (func $exp64 (param $x v128) (result v128)
    (local $n v128) (local $r v128)
    (local.set $x (f64x2.pmin (f64x2.pmax (local.get $x) (v128.const f64x2 -708.0 -708.0)) (v128.const f64x2 709.0 709.0)))
    (local.set $n (f64x2.add (f64x2.mul (local.get $x) (v128.const f64x2 1.4426950408889634 1.4426950408889634)) (v128.const f64x2 6755399441055744.0 6755399441055744.0)))
    (local.set $r (f64x2.sub (local.get $x)
      (f64x2.mul (f64x2.sub (local.get $n) (v128.const f64x2 6755399441055744.0 6755399441055744.0)) (v128.const f64x2 0.6931471805599453 0.6931471805599453))))
    (i64x2.add (i64x2.shl (local.get $n) (i32.const 52))
      (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (v128.const f64x2 2.505210838544172e-08 2.505210838544172e-08) (local.get $r))
        (v128.const f64x2 2.755731922398589e-07 2.755731922398589e-07)) (local.get $r))
        (v128.const f64x2 2.7557319223985893e-06 2.7557319223985893e-06)) (local.get $r))
        (v128.const f64x2 2.48015873015873e-05 2.48015873015873e-05)) (local.get $r))
        (v128.const f64x2 0.0001984126984126984 0.0001984126984126984)) (local.get $r))
        (v128.const f64x2 0.001388888888888889 0.001388888888888889)) (local.get $r))
        (v128.const f64x2 0.008333333333333333 0.008333333333333333)) (local.get $r))
        (v128.const f64x2 0.041666666666666664 0.041666666666666664)) (local.get $r))
        (v128.const f64x2 0.16666666666666666 0.16666666666666666)) (local.get $r))
        (v128.const f64x2 0.5 0.5)) (local.get $r))
        (v128.const f64x2 1.0 1.0)) (local.get $r))
        (v128.const f64x2 1.0 1.0))))

  ;; (e^2x - 1) / (e^2x + 1); x itself below 2^-14, where the two are the same f32 and the difference would cancel.
  (func $tanh64 (param $x v128) (result v128)
    (local $e v128)
    (local.set $e (call $exp64 (f64x2.pmin (f64x2.pmax
      (f64x2.add (local.get $x) (local.get $x)) (v128.const f64x2 -40.0 -40.0)) (v128.const f64x2 40.0 40.0))))
    (v128.bitselect (local.get $x)
      (f64x2.div (f64x2.sub (local.get $e) (v128.const f64x2 1.0 1.0)) (f64x2.add (local.get $e) (v128.const f64x2 1.0 1.0)))
      (f64x2.lt (f64x2.abs (local.get $x)) (v128.const f64x2 6.103515625e-05 6.103515625e-05))))

  ;; The error function: x P(x^2) / Q(x^2) for |x| < 5, fitted to relative 5e-12 (least squares at 160 Chebyshev points, reweighted to
  ;; the largest error); 1 beyond, where it is less than 2e-12 away.
  (func $erf64 (param $x v128) (result v128)
    (local $z v128)
    (local.set $z (f64x2.mul (local.get $x) (local.get $x)))
    (v128.bitselect
      (v128.or (v128.and (local.get $x) (v128.const i64x2 0x8000000000000000 0x8000000000000000)) (v128.const f64x2 1.0 1.0))
      (f64x2.mul (local.get $x) (f64x2.div
        (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (v128.const f64x2 2.95371650388236e-11 2.95371650388236e-11) (local.get $z))
        (v128.const f64x2 2.4876719578699863e-08 2.4876719578699863e-08)) (local.get $z))
        (v128.const f64x2 1.741116882898749e-06 1.741116882898749e-06)) (local.get $z))
        (v128.const f64x2 3.385299106959936e-05 3.385299106959936e-05)) (local.get $z))
        (v128.const f64x2 0.0006579621085031898 0.0006579621085031898)) (local.get $z))
        (v128.const f64x2 0.005830535843636361 0.005830535843636361)) (local.get $z))
        (v128.const f64x2 0.06195876516348695 0.06195876516348695)) (local.get $z))
        (v128.const f64x2 0.21071433397522543 0.21071433397522543)) (local.get $z))
        (v128.const f64x2 1.1283791671007166 1.1283791671007166))
        (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (f64x2.add (f64x2.mul (v128.const f64x2 1.3145811922115056e-09 1.3145811922115056e-09) (local.get $z))
        (v128.const f64x2 2.6314593185556827e-07 2.6314593185556827e-07)) (local.get $z))
        (v128.const f64x2 8.102368495949993e-06 8.102368495949993e-06)) (local.get $z))
        (v128.const f64x2 0.00015614257067566605 0.00015614257067566605)) (local.get $z))
        (v128.const f64x2 0.002084470393825502 0.002084470393825502)) (local.get $z))
        (v128.const f64x2 0.019725151760088273 0.019725151760088273)) (local.get $z))
        (v128.const f64x2 0.12826754027619672 0.12826754027619672)) (local.get $z))
        (v128.const f64x2 0.5200740499364498 0.5200740499364498)) (local.get $z))
        (v128.const f64x2 1.0 1.0))))
      (f64x2.ge (f64x2.abs (local.get $x)) (v128.const f64x2 5.0 5.0))))

  ;; 3: tanh, 4: erf, 5: x (1 + erf(x / sqrt 2)) / 2, 6: x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, 7: x^3
  (func $function64 (param $op i32) (param $x v128) (result v128)
    (local $cube v128)
    (if (i32.eq (local.get $op) (i32.const 3)) (then (return (call $tanh64 (local.get $x)))))
    (if (i32.eq (local.get $op) (i32.const 4)) (then (return (call $erf64 (local.get $x)))))
    (local.set $cube (f64x2.mul (f64x2.mul (local.get $x) (local.get $x)) (local.get $x)))
    (if (i32.eq (local.get $op) (i32.const 7)) (then (return (local.get $cube))))
    (f64x2.mul (f64x2.mul (local.get $x) (v128.const f64x2 0.5 0.5)) (f64x2.add (v128.const f64x2 1.0 1.0)
      (if (result v128) (i32.eq (local.get $op) (i32.const 5))
        (then (call $erf64 (f64x2.mul (local.get $x) (v128.const f64x2 0.7071067811865476 0.7071067811865476))))
        (else (call $tanh64 (f64x2.mul (v128.const f64x2 0.7978845608028654 0.7978845608028654)
          (f64x2.add (local.get $x) (f64x2.mul (v128.const f64x2 0.044715 0.044715) (local.get $cube))))))))))

  ;; 0: e^x, 1: 1 / (1 + e^-x), 2: x / (1 + e^-x), and those of $function64
  (func $function (param $op i32) (param $x v128) (result v128)
    (local $e v128)
    (if (i32.gt_s (local.get $op) (i32.const 2)) (then
      (return (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23
        (f32x4.demote_f64x2_zero (call $function64 (local.get $op) (f64x2.promote_low_f32x4 (local.get $x))))
        (f32x4.demote_f64x2_zero (call $function64 (local.get $op) (f64x2.promote_low_f32x4
          (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $x) (local.get $x)))))))))
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
        (br $row))))

  ;; Dense rows of (x - mean) / sqrt(mean square + eps) gain + bias, in f64; the mean is 0 unless $centred. Gain and bias are rows of
  ;; $length, or absent where their address is 0.
  (func (export "norm") (param $out i32) (param $x i32) (param $rows i32) (param $length i32)
    (param $gain i32) (param $bias i32) (param $eps f64) (param $centred i32)
    (local $i i32) (local $bytes i32) (local $mean v128) (local $sum v128) (local $v v128) (local $factor v128)
    (local.set $bytes (i32.shl (local.get $length) (i32.const 2)))
    (block $done
      (loop $row
        (br_if $done (i32.eqz (local.get $rows)))
        (local.set $mean (v128.const f64x2 0 0))
        (if (local.get $centred) (then
          (local.set $mean (f64x2.splat (f64.div
            (call $total (local.get $x) (local.get $length) (local.get $mean) (i32.const 0))
            (f64.convert_i32_s (local.get $length)))))))
        (local.set $factor (f64x2.splat (f64.div (f64.const 1) (f64.sqrt (f64.add (local.get $eps) (f64.div
          (call $total (local.get $x) (local.get $length) (local.get $mean) (i32.const 1))
          (f64.convert_i32_s (local.get $length))))))))
        (local.set $i (i32.const 0))
        (block $end
          (loop $next
            (br_if $end (i32.ge_s (local.get $i) (local.get $bytes)))
            ;; Two elements; of an odd row the last one alone, with what is read beyond it not stored.
            (local.set $v (f64x2.mul (local.get $factor) (f64x2.sub
              (f64x2.promote_low_f32x4 (v128.load64_zero (i32.add (local.get $x) (local.get $i)))) (local.get $mean))))
            (if (local.get $gain) (then (local.set $v (f64x2.mul (local.get $v)
              (f64x2.promote_low_f32x4 (v128.load64_zero (i32.add (local.get $gain) (local.get $i))))))))
            (if (local.get $bias) (then (local.set $v (f64x2.add (local.get $v)
              (f64x2.promote_low_f32x4 (v128.load64_zero (i32.add (local.get $bias) (local.get $i))))))))
            (local.set $v (f32x4.demote_f64x2_zero (local.get $v)))
            (if (i32.lt_s (i32.add (local.get $i) (i32.const 4)) (local.get $bytes))
              (then (v128.store64_lane 0 (i32.add (local.get $out) (local.get $i)) (local.get $v)))
              (else (v128.store32_lane 0 (i32.add (local.get $out) (local.get $i)) (local.get $v))))
            (local.set $i (i32.add (local.get $i) (i32.const 8)))
            (br $next)))
        (local.set $x (i32.add (local.get $x) (local.get $bytes)))
        (local.set $out (i32.add (local.get $out) (local.get $bytes)))
        (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
        (br $row))))

  ;; Rounds in place to what f16 (kind 0) or bf16 (kind 1) can hold: nearest, ties to even; beyond the largest is infinity, NaN stays.
  (func (export "narrow") (param $kind i32) (param $x i32) (param $n i32)
    (block $rest
      (loop $next
        (br_if $rest (i32.lt_s (local.get $n) (i32.const 4)))
        (v128.store (local.get $x) (call $rounded (local.get $kind) (v128.load (local.get $x))))
        (local.set $x (i32.add (local.get $x) (i32.const 16)))
        (local.set $n (i32.sub (local.get $n) (i32.const 4)))
        (br $next)))
    (block $done
      (loop $one
        (br_if $done (i32.eqz (local.get $n)))
        (v128.store32_lane 0 (local.get $x) (call $rounded (local.get $kind) (v128.load32_zero (local.get $x))))
        (local.set $x (i32.add (local.get $x) (i32.const 4)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $one))))

  (func $rounded (param $kind i32) (param $x v128) (result v128)
    (local $bits v128) (local $r v128)
    (local.set $bits (f32x4.abs (local.get $x)))
    (if (local.get $kind)
      (then (local.set $r (v128.and (v128.const i32x4 0xffff0000 0xffff0000 0xffff0000 0xffff0000)
        (i32x4.add (i32x4.add (local.get $bits) (v128.const i32x4 0x7fff 0x7fff 0x7fff 0x7fff))
          (v128.and (i32x4.shr_u (local.get $bits) (i32.const 16)) (v128.const i32x4 1 1 1 1))))))
      (else
        (local.set $r (v128.and (v128.const i32x4 0xffffe000 0xffffe000 0xffffe000 0xffffe000)
          (i32x4.add (i32x4.add (local.get $bits) (v128.const i32x4 0xfff 0xfff 0xfff 0xfff))
            (v128.and (i32x4.shr_u (local.get $bits) (i32.const 13)) (v128.const i32x4 1 1 1 1)))))
        ;; 2^16 and more.
        (local.set $r (v128.bitselect (v128.const f32x4 inf inf inf inf) (local.get $r)
          (i32x4.ge_u (local.get $r) (v128.const i32x4 0x47800000 0x47800000 0x47800000 0x47800000))))
        ;; Below 2^-14 steps are 2^-24, as they are of f32 at 1/2.
        (local.set $r (v128.bitselect
          (f32x4.sub (f32x4.add (local.get $bits) (v128.const f32x4 0.5 0.5 0.5 0.5)) (v128.const f32x4 0.5 0.5 0.5 0.5))
          (local.get $r)
          (f32x4.lt (local.get $bits) (v128.const f32x4 0x1p-14 0x1p-14 0x1p-14 0x1p-14))))))
    (local.set $r (v128.or (local.get $r)
      (v128.and (local.get $x) (v128.const i32x4 0x80000000 0x80000000 0x80000000 0x80000000))))
    (v128.bitselect (local.get $r) (local.get $x) (f32x4.eq (local.get $x) (local.get $x))))

  ;; Of a row less $mean in f64: the sum, or the sum of squares.
  (func $total (param $x i32) (param $n i32) (param $mean v128) (param $squared i32) (result f64)
    (local $sum v128) (local $v v128)
    (block $rest
      (loop $next
        (br_if $rest (i32.lt_s (local.get $n) (i32.const 2)))
        (local.set $v (f64x2.sub (f64x2.promote_low_f32x4 (v128.load64_zero (local.get $x))) (local.get $mean)))
        (if (local.get $squared) (then (local.set $v (f64x2.mul (local.get $v) (local.get $v)))))
        (local.set $sum (f64x2.add (local.get $sum) (local.get $v)))
        (local.set $x (i32.add (local.get $x) (i32.const 8)))
        (local.set $n (i32.sub (local.get $n) (i32.const 2)))
        (br $next)))
    (if (local.get $n) (then
      (local.set $v (f64x2.sub (f64x2.promote_low_f32x4 (v128.load32_zero (local.get $x))) (local.get $mean)))
      (if (local.get $squared) (then (local.set $v (f64x2.mul (local.get $v) (local.get $v)))))
      (local.set $sum (f64x2.add (local.get $sum) (f64x2.replace_lane 1 (local.get $v) (f64.const 0))))))
    (f64.add (f64x2.extract_lane 0 (local.get $sum)) (f64x2.extract_lane 1 (local.get $sum)))))
