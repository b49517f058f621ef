; classic.asm: the three classic calls from NASM (x86-64, System V); classic.c is the same program in C.
;
;     nasm -f elf64 -o classic.o classic.asm
;     cc -o classic-asm classic.o $(pkg-config --cflags --libs blockpool)
;     ./classic-asm
;
; Ends with 0 if every call did what it should, refusals included; else with 1 and a sentence on stderr.

POOL_SIZE       equ 1024
BLOCK_SIZE      equ 32
BLOCKS          equ 5

; as in blockpool.h
BLOCKPOOL_OK            equ 0
BLOCKPOOL_OUTSIDE       equ 11
BLOCKPOOL_INSIDE_RUN    equ 13
BLOCKPOOL_NOT_ALLOCATED equ 14

        default rel
        global  main
        extern  initialize_memory_allocator, allocate_memory_blocks, deallocate_memory_blocks
        extern  blockpool_last_status, blockpool_message
        extern  printf, snprintf, dprintf, memset, strlen

        section .rodata
made            db "a pool of %d bytes, in blocks of %d", 10, 0
text            db "written to block %d", 0
block_line      db "block %d, %3d bytes into the pool: %s", 10, 0
run_line        db "run of %d, %d bytes into the pool: %d letters", 10, 0
done_line       db "all deallocated", 10, 0
refused_line    db "%s is refused: %s", 10, 0
failed_line     db "%s: %s", 10, 0
initialize      db "initialize", 0
allocate        db "allocate", 0
allocate_run    db "allocate a run", 0
deallocate      db "deallocate", 0
deallocate_run  db "deallocate the run", 0
second_block    db "deallocating the run's second block", 0
again           db "deallocating block 3 again", 0
variable        db "deallocating a variable", 0

        section .bss
        alignb  8
blocks          resq BLOCKS             ; addresses of the single blocks
run             resq 1                  ; address of the run

        section .text

; Kept over calls: rbx the number of a block, r12 the table of blocks, r13 what is being done (for failed).
main:
        push    rbx
        push    r12
        push    r13                     ; three pushes and the return address: the stack is aligned to 16
        lea     r12, [blocks]

        lea     r13, [initialize]
        mov     edi, POOL_SIZE
        mov     esi, BLOCK_SIZE
        call    initialize_memory_allocator wrt ..plt
        cmp     eax, BLOCKPOOL_OK
        jne     failed
        lea     rdi, [made]
        mov     esi, POOL_SIZE
        mov     edx, BLOCK_SIZE
        xor     eax, eax                ; a variadic function: no vector registers used
        call    printf wrt ..plt

        ; five single blocks, each with a text of its own
        lea     r13, [allocate]
        xor     ebx, ebx
.allocate:
        mov     edi, 1
        call    allocate_memory_blocks wrt ..plt
        test    rax, rax
        jz      no_block
        mov     [r12 + rbx * 8], rax
        mov     rdi, rax
        mov     esi, BLOCK_SIZE
        lea     rdx, [text]
        lea     ecx, [rbx + 1]
        xor     eax, eax
        call    snprintf wrt ..plt
        inc     ebx
        cmp     ebx, BLOCKS
        jb      .allocate

        ; and a run of five, full of letters
        lea     r13, [allocate_run]
        mov     edi, BLOCKS
        call    allocate_memory_blocks wrt ..plt
        test    rax, rax
        jz      no_block
        mov     [run], rax
        mov     rdi, rax
        mov     esi, 'r'
        mov     edx, BLOCKS * BLOCK_SIZE - 1
        call    memset wrt ..plt
        mov     rax, [run]
        mov     byte [rax + BLOCKS * BLOCK_SIZE - 1], 0

        ; read back
        xor     ebx, ebx
.read:
        lea     rdi, [block_line]
        lea     esi, [rbx + 1]
        mov     rcx, [r12 + rbx * 8]
        mov     rdx, rcx
        sub     rdx, [r12]
        xor     eax, eax
        call    printf wrt ..plt
        inc     ebx
        cmp     ebx, BLOCKS
        jb      .read
        mov     rdi, [run]
        call    strlen wrt ..plt
        mov     rcx, rax
        lea     rdi, [run_line]
        mov     esi, BLOCKS
        mov     rdx, [run]
        sub     rdx, [r12]
        xor     eax, eax
        call    printf wrt ..plt

        ; an address inside a run is refused
        mov     rdi, [run]
        add     rdi, BLOCK_SIZE
        lea     rsi, [second_block]
        mov     edx, BLOCKPOOL_INSIDE_RUN
        call    must_be_refused

        lea     r13, [deallocate]
        xor     ebx, ebx
.deallocate:
        mov     rdi, [r12 + rbx * 8]
        call    deallocate_memory_blocks wrt ..plt
        cmp     eax, BLOCKPOOL_OK
        jne     failed
        inc     ebx
        cmp     ebx, BLOCKS
        jb      .deallocate
        lea     r13, [deallocate_run]
        mov     rdi, [run]
        call    deallocate_memory_blocks wrt ..plt
        cmp     eax, BLOCKPOOL_OK
        jne     failed
        lea     rdi, [done_line]
        xor     eax, eax
        call    printf wrt ..plt

        ; a second deallocation, and an address that is no block
        mov     rdi, [r12 + 2 * 8]
        lea     rsi, [again]
        mov     edx, BLOCKPOOL_NOT_ALLOCATED
        call    must_be_refused
        lea     rdi, [run]
        lea     rsi, [variable]
        mov     edx, BLOCKPOOL_OUTSIDE
        call    must_be_refused

        xor     eax, eax
leave_main:
        pop     r13
        pop     r12
        pop     rbx
        ret

; NULL instead of a block: the reason is the thread's last status.
no_block:
        call    blockpool_last_status wrt ..plt
; Ends the program: r13 is what was being done, eax the status that it ended with.
failed:
        mov     edi, eax
        call    blockpool_message wrt ..plt
        mov     edi, 2
        lea     rsi, [failed_line]
        mov     rdx, r13
        mov     rcx, rax
        xor     eax, eax
        call    dprintf wrt ..plt
        mov     eax, 1
        jmp     leave_main

; A deallocation that must be refused, and why it was: rdi the address, rsi what it is called, edx the status expected.
must_be_refused:
        push    rbx
        mov     r13, rsi
        mov     ebx, edx
        call    deallocate_memory_blocks wrt ..plt
        cmp     eax, ebx
        pop     rbx
        jne     .not_refused
        sub     rsp, 8
        mov     edi, eax
        call    blockpool_message wrt ..plt
        lea     rdi, [refused_line]
        mov     rsi, r13
        mov     rdx, rax
        xor     eax, eax
        call    printf wrt ..plt
        add     rsp, 8
        ret
.not_refused:
        add     rsp, 8                  ; drop the way back into main
        jmp     failed

        section .note.GNU-stack noalloc noexec nowrite progbits
