/* Exclusive or, trained by a program of one's own: the network is the C that nnc makes of ../xor/xor.nn.
 * `make` builds and runs it; prints the mean loss and four answers, the outer near 0, the inner near 1. */
#include "xor.h"

#include <stdio.h>

int main(void)
{
    static _Alignas(XOR_ALIGN) unsigned char net[XOR_BYTES], scratch[XOR_PREDICT_BYTES];
    const float a[] = {0, 0, 1, 1}, b[] = {0, 1, 0, 1}, either[] = {0, 1, 1, 0};
    float answer[4];
    int status = xor_init(net, 1);

    for (int i = 0; i < 400 && status == XOR_OK; i++)
        status = xor_step(net, &(xor_batch){a, b, either}, 4);
    if (status != XOR_OK || xor_report(net) != XOR_OK || xor_predict(net, scratch, a, b, 4, answer) != XOR_OK)
        return 1;
    printf("loss %.4f\n", xor_loss(net));
    for (int i = 0; i < 4; i++)
        printf("%g xor %g = %.4f\n", (double)a[i], (double)b[i], (double)answer[i]);
    return 0;
}
