;; What a provider measures its speed with: a mix of integer arithmetic, memory access and branches, until the fuel is
;; used up. The result is fuel a second, so the mix matters little and the time is chosen by the fuel limit.
(module
  (memory (export "memory") 16)
  (func (export "_start")
    (local $x i64)
    (local $at i32)
    (local $sum f64)
    (local.set $x (i64.const 0x9e3779b97f4a7c15))
    (loop $again
      ;; xorshift64 (Marsaglia 2003)
      (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
      (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
      (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
      (local.set $at (i32.and (i32.wrap_i64 (local.get $x)) (i32.const 0xffff8)))
      (i64.store (local.get $at) (i64.add (i64.load (local.get $at)) (local.get $x)))
      (local.set $sum
        (f64.add (f64.mul (local.get $sum) (f64.const 0.5)) (f64.convert_i64_s (local.get $x))))
      (f64.store (i32.const 0xffff8) (local.get $sum))
      (br $again))))
