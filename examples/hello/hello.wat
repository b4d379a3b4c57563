;; The smallest useful task: prints "hello from task N".
;;
;; WASI gives a program its arguments as zero-terminated strings: the first is the program's name, the second is the
;; number of the task, because job.toml says `args = ["{task}"]`.
(module
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)

  ;; 0: pointers to the arguments, 64: list of buffers for fd_write, 96: how much was written, 1024: the arguments
  (data (i32.const 128) "hello from task ")
  (data (i32.const 160) "\n")

  (func $length (param $text i32) (result i32)
    (local $end i32)
    (local.set $end (local.get $text))
    (block $done
      (loop $more
        (br_if $done (i32.eqz (i32.load8_u (local.get $end))))
        (local.set $end (i32.add (local.get $end) (i32.const 1)))
        (br $more)))
    (i32.sub (local.get $end) (local.get $text)))

  (func (export "_start")
    (drop (call $args_get (i32.const 0) (i32.const 1024)))
    ;; three buffers: the greeting, the number, the end of the line
    (i32.store (i32.const 64) (i32.const 128))
    (i32.store (i32.const 68) (i32.const 16))
    (i32.store (i32.const 72) (i32.load (i32.const 4)))
    (i32.store (i32.const 76) (call $length (i32.load (i32.const 4))))
    (i32.store (i32.const 80) (i32.const 160))
    (i32.store (i32.const 84) (i32.const 1))
    (drop (call $fd_write (i32.const 1) (i32.const 64) (i32.const 3) (i32.const 96)))))
